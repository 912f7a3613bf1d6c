"""What is seen from outside: logs and metrics, never a person's data."""
