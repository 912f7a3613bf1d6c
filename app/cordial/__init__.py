"""Where it goes: the account, the HTTP client, its errors, and a local Cordial to try them on."""
