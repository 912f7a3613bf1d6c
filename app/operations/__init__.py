"""What a person can ask for: one function each, with typed arguments and a typed result.

The edges (`api`, `__main__`) translate JSON or a terminal to these calls and back. Nothing here
knows of HTTP or HTML.
"""
