"""The HTML edge: pages for people. They translate to operations, and show what these return."""
