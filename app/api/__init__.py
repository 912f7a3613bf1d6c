"""The edges: HTTP in, calls to the packages behind, HTTP out. No rules here."""
