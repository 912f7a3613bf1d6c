"""What happened: every submission, attempt and integration, durable in SQLite or PostgreSQL."""
