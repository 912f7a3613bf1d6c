"""Jebbit's side: setting up its webhooks by its public API."""
