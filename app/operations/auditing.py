"""Writing down who asked for which change, and which tokens were refused."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from app.ledger import audit
from app.ledger.audit import AuditEntry
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.integrations import UnknownIntegration
from app.ledger.submissions import UnknownSubmission
from app.operations.callers import Caller

log = structlog.get_logger("audit")

DONE = "done"
_TARGET = re.compile(r"[a-z0-9-]{1,100}")  # an id, and nothing else that a path may hold
_MOST_ROWS = 60.0  # of refused calls, in a burst; strangers cause them
_ROWS_PER_SECOND = 1 / 6


class Auditor:
    """Writes each changing call, and each refused one, into the log and the ledger."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """Take the ledger, and what tells the time (unix seconds)."""
        self._database = database
        self._clock = clock
        self._rows, self._filled_at = _MOST_ROWS, time.monotonic()
        self._untold = 0

    @asynccontextmanager
    async def changing(
        self, who: Caller, operation: str, target: str | None = None
    ) -> AsyncIterator[None]:
        """Write down a change before it is made, and afterwards what became of it.

        Args:
            who: asks for it.
            operation: what is asked for.
            target: the id of what is to be changed.

        Raises:
            Exception: one of `UNAVAILABLE`; the change is not made.
        """
        target = target if target and _TARGET.fullmatch(target) else None
        entry = AuditEntry(
            self._clock(), who.name, who.role, operation, target, who.address, audit.BEGUN
        )
        number, outcome = await audit.write(self._database, entry), "interrupted"
        try:
            yield
            outcome = DONE
        except Exception as error:
            outcome = type(error).__name__
            if isinstance(error, UnknownIntegration | UnknownSubmission):
                target = None  # it may be anything, also an address
            raise
        finally:
            _tell(operation, who.address, outcome, who, target)
            with suppress(*UNAVAILABLE):  # the line tells of it
                await audit.finish(self._database, number, outcome, target)

    async def refused(
        self, operation: str, address: str, outcome: str, who: Caller | None = None
    ) -> None:
        """Write down a call that was not let in: each in the log, of a flood few in the ledger.

        A row may stand for several (`times`), so that strangers cannot fill the ledger.
        """
        _tell(operation, address, outcome, who)
        self._untold += 1
        if not self._has_room():
            return
        times, self._untold = self._untold, 0
        name, role = (who.name, who.role) if who else (None, None)
        entry = AuditEntry(self._clock(), name, role, operation, None, address, outcome, times)
        with suppress(*UNAVAILABLE):  # the line tells of it, and a refusal needs no ledger
            await audit.write(self._database, entry)

    async def newest(
        self, limit: int, *, name: str | None, operation: str | None, since: float | None
    ) -> list[AuditEntry]:
        """Return the newest entries, of a caller, an operation, or since a time (unix seconds)."""
        return await audit.newest(
            self._database, limit, name=name, operation=operation, since=since
        )

    def _has_room(self) -> bool:
        now = time.monotonic()
        self._rows += (now - self._filled_at) * _ROWS_PER_SECOND
        self._rows, self._filled_at = min(self._rows, _MOST_ROWS), now
        if self._rows < 1:
            return False
        self._rows -= 1
        return True


def _tell(
    operation: str, address: str, outcome: str, who: Caller | None, target: str | None = None
) -> None:
    write = log.info if outcome == DONE else log.warning
    write(
        "audit",
        name=who.name if who else None,
        role=who.role.value if who else None,
        operation=operation,
        target=target,
        address=address,
        outcome=outcome,
    )
