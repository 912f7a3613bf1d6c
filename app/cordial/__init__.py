"""Where it goes: the account, the HTTP client and its errors."""
