"""Cordial's rate limit: calls per method and endpoint, told in four headers. S."""

import math
from typing import NamedTuple

from app.sandbox.account import Account, Permission


class Quota(NamedTuple):
    """What is left of an endpoint's rate limit; `reset` is seconds until it is full again."""

    limit: int
    used: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The vendor's headers: S. Retry-After only where it is exceeded."""
        told = {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(max(0, self.limit - self.used)),
            "X-Rate-Limit-Reset": str(self.reset),
        }
        return {"Retry-After": str(self.reset), **told} if self.exceeded else told

    @property
    def exceeded(self) -> bool:
        """Whether this call is one too many."""
        return self.used > self.limit


class RateLimiter:
    """Counts calls per method and endpoint (S) in fixed windows, whose real shape is open (?)."""

    def __init__(self) -> None:
        self._windows: dict[Permission, tuple[float, int]] = {}

    def count(self, endpoint: Permission, account: Account, now: float) -> Quota | None:
        """Count one call; None where the account has no limit."""
        if account.rate_limit is None:
            return None
        start, used = self._windows.get(endpoint, (now, 0))
        if now - start >= account.rate_window_seconds:
            start, used = now, 0
        self._windows[endpoint] = (start, used + 1)
        left = account.rate_window_seconds - (now - start)
        return Quota(account.rate_limit, used + 1, max(1, math.ceil(left)))
