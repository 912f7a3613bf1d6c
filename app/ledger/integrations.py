"""Stored integrations: configuration, encrypted secrets, and whether they may send."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeVar

import structlog
from pydantic import SecretStr
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger import changes
from app.ledger.changes import ChangeKind, Made
from app.ledger.database import Database
from app.ledger.documents import document_of, readable_by_0_1_0
from app.ledger.notices import NoticeKind, announce
from app.ledger.schema import (
    DeadReason,
    GateState,
    SubmissionStatus,
    contacts,
    integrations,
    receipts,
    refused_webhooks,
    sources,
    submissions,
)
from app.ledger.vault import Vault, WrongSecretKey
from app.rules.integration import Integration, slug

log = structlog.get_logger("integrations")

# What stays of a contact whose integration is deleted: Cordial goes on sending texts to its number.
_ONLY_TEXTED = dict.fromkeys(
    ("due_at", "lease", "newest_content", "delivered_seq", "delivered_occurred_at")
)

_SLUG = re.compile(r"[a-z0-9-]{1,100}")
_RECENT_SECONDS = 1.0
_READ_SECONDS = 3.0

Read = TypeVar("Read")

State = Literal["active", "paused", "blocked"]


class UnknownIntegration(Exception):
    """No integration has this id."""


class NameTaken(Exception):
    """Another integration has the id that this name leads to."""


class VersionChanged(Exception):
    """The configuration is not of the version meant; `current` is the one it has.

    Or it is, but somebody paused or resumed the integration since it was looked at.
    """

    def __init__(self, current: int) -> None:
        super().__init__(current)
        self.current = current


class NotAnswered(Exception):
    """Nobody has said yet whom the integration sends and subscribes; the argument is its id."""


class StillPending(Exception):
    """So many (`count`) submissions of the integration wait to be sent."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether submissions may go to the account now, and why not.

    `failures` in a row; times are unix seconds. The worker claims nothing before `until`.
    """

    state: GateState = GateState.OPEN
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a person has answered while an integration is set up.

    `mapped`: they saw the mapping and saved it. `whom`: they said whom to send and subscribe; until
    then the policy is nobody's choice, and nothing may be sent by it.
    """

    mapped: bool = False
    whom: bool = False

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """Read what is kept; what a newer version keeps beside it is left out."""
        return cls(bool(kept.get("mapped")), bool(kept.get("whom")))


@dataclass(frozen=True, slots=True)
class StoredIntegration:
    """An integration with what the ledger knows of it."""

    id: str
    integration: Integration
    version: int
    paused: bool
    paused_reason: str | None
    gate: Gate
    created_at: float
    updated_at: float
    setup: Setup | None = None  # None: it is set up

    @property
    def unanswered(self) -> bool:
        """Whether nobody has said yet whom it sends and subscribes."""
        return self.setup is not None and not self.setup.whom

    @property
    def state(self) -> State:
        """Whether it sends; a person's pause goes before Cordial's refusal."""
        if self.paused:
            return "paused"
        return "blocked" if self.gate.state is GateState.BLOCKED else "active"

    @property
    def state_reason(self) -> str | None:
        """Why it does not send."""
        return self.paused_reason if self.paused else self.gate.reason


def _no_answer(setup: Setup) -> Setup:
    return setup


class Integrations:
    """The integrations of a ledger."""

    def __init__(
        self, database: Database, vault: Vault, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._recent: dict[str, tuple[float, StoredIntegration]] = {}
        self._reading: dict[str, asyncio.Task[StoredIntegration]] = {}
        self._doubted: dict[str, float] = {}  # when each was last read because it was doubted
        self._ids: frozenset[str] = frozenset()
        self._ids_read_at = float("-inf")
        self._reading_ids: asyncio.Task[None] | None = None

    async def create(
        self,
        integration: Integration,
        *,
        paused_reason: str | None,
        now: float,
        integration_id: str | None = None,
        by: str | None = None,
        setup: Setup | None = None,
    ) -> StoredIntegration:
        """Store a new integration, paused if there is a reason to.

        Its id is made from its name, unless the caller gives one. `by` is the caller's name. With a
        `setup` it is to be set up, step by step.

        Raises:
            NameTaken: its id is in use.
        """
        row = {
            "id": integration_id or slug(integration.name),
            **self._columns(integration),
            # Random: a new integration under an old name is not taken for the old one.
            "version": random.SystemRandom().randrange(2**30),
            "paused": paused_reason is not None,
            "paused_reason": paused_reason,
            "setup": None if setup is None else asdict(setup),
            "gate": GateState.OPEN,
            "failures": 0,
            "created_at": now,
            "updated_at": now,
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(integrations), row)
                await announce(connection, NoticeKind.CREATED, row["id"], now, paused_reason)
                made = Made(row["version"], now, by, ChangeKind.CREATED)
                await changes.keep(connection, row["id"], made, integration)
        except IntegrityError:
            raise NameTaken(row["id"]) from None
        return await self.get(row["id"])

    async def get(self, integration_id: str) -> StoredIntegration:
        """Return one integration as it is now.

        Raises:
            UnknownIntegration: there is none.
        """
        self._recent.pop(integration_id, None)
        async with self._database.read() as connection:
            stored = self._stored(await _row(connection, integration_id))
        self._recent[integration_id] = (self._clock(), stored)
        return stored

    def known(self, integration_id: str) -> StoredIntegration | None:
        """Return one integration if we read it within the last second."""
        read_at, stored = self._recent.get(integration_id, (0.0, None))
        return stored if self._clock() - read_at <= _RECENT_SECONDS else None

    async def recent(self, integration_id: str) -> StoredIntegration:
        """Return one integration as it was at most a second ago.

        We also read which ids exist at most once a second: made-up ids cost no more.

        Raises:
            UnknownIntegration: there is none.
        """
        if (stored := self.known(integration_id)) is not None:
            return stored
        if integration_id not in self._recent and not await self._exists(integration_id):
            raise UnknownIntegration(integration_id)
        return await self._read_once(integration_id)

    async def doubted(self, integration_id: str) -> StoredIntegration | None:
        """Read one integration again, because what we know of it may be out of date.

        None if this was done within the last second: a flood of webhooks with wrong signatures does
        not become a flood of reads.

        Raises:
            UnknownIntegration: there is none.
        """
        now = self._clock()
        if now - self._doubted.get(integration_id, float("-inf")) <= _RECENT_SECONDS:
            return None
        self._doubted[integration_id] = now
        return await self._read_once(integration_id)

    async def at_least(self, integration_id: str, version: int) -> StoredIntegration:
        """Return one integration, at least as new as when it had this version.

        Many who ask at once, as after a change while much waits, share one reading.

        Raises:
            UnknownIntegration: there is none.
        """
        stored = await self._read_once(integration_id)
        # Another one may have begun before the change that we know of.
        return stored if stored.version == version else await self.get(integration_id)

    async def _read_once(self, integration_id: str) -> StoredIntegration:
        """Read an integration; if many callers ask at once, one reads for all."""
        reading = self._reading.get(integration_id)
        if reading is None:
            reading = asyncio.create_task(_soon(self.get(integration_id)))
            self._reading[integration_id] = reading
            reading.add_done_callback(lambda _: self._reading.pop(integration_id))
        return await asyncio.shield(reading)

    async def _exists(self, integration_id: str) -> bool:
        if self._clock() - self._ids_read_at > _RECENT_SECONDS:
            if self._reading_ids is None or self._reading_ids.done():
                self._reading_ids = asyncio.create_task(_soon(self._read_ids()))
            await asyncio.shield(self._reading_ids)
        return integration_id in self._ids

    async def _read_ids(self) -> None:
        async with self._database.read() as connection:
            self._ids = frozenset(await connection.scalars(select(integrations.c.id)))
        self._ids_read_at = self._clock()

    def has_read(self, integration_id: str) -> bool:
        """Say whether it existed when we last read it, without asking the ledger."""
        return integration_id in self._recent

    async def list(self) -> list[StoredIntegration]:
        """Return all integrations by id."""
        async with self._database.read() as connection:
            found = await connection.execute(select(integrations).order_by(integrations.c.id))
            return [self._stored(row) for row in found]

    async def change(
        self,
        integration_id: str,
        change: Callable[[Integration], Integration],
        *,
        now: float,
        version: int | None = None,
        paused: bool | None = None,
        by: str | None = None,
        restores: int | None = None,
        answers: Callable[[Setup], Setup] = _no_answer,
    ) -> StoredIntegration:
        """Replace the configuration by what `change` makes of it, whole or not at all.

        If the Cordial account or its key changes, the gate opens: by the old one it was shut.
        The change is kept under the name of the caller (`by`), perhaps as one that `restores` an
        earlier version. `answers` says what the change answers of the setting up.

        Raises:
            UnknownIntegration: there is none.
            VersionChanged: it is not of this `version`, or no longer `paused`, or it is now: what
                was looked at before the change holds no more.
            Exception: whatever `change` raises; nothing is stored then.
        """
        async with self._database.write() as connection:
            before = self._stored(await _row(connection, integration_id, lock=True))
            if version is not None and version != before.version:
                raise VersionChanged(before.version)
            if paused is not None and paused != before.paused:
                raise VersionChanged(before.version)
            after = change(before.integration)
            columns = self._columns(after) | {"version": before.version + 1, "updated_at": now}
            if before.setup is not None:
                columns["setup"] = asdict(answers(before.setup))
            if _access(after) != _access(before.integration):
                columns |= _gate_columns(Gate())
                await _announce_turn(connection, integration_id, before.gate, Gate(), now)
            await _update(connection, integration_id, columns)
            found = Made(before.version, before.updated_at, None, ChangeKind.FOUND)
            await changes.keep_missing(connection, integration_id, found, before.integration)
            kind = ChangeKind.CHANGED if restores is None else ChangeKind.RESTORED
            made = Made(before.version + 1, now, by, kind, restores)
            await changes.keep(connection, integration_id, made, after)
        changed = await self.get(integration_id)
        _tell_turn(integration_id, before.gate, changed.gate, "its Cordial account was changed")
        return changed

    async def pause(self, integration_id: str, *, reason: str, now: float) -> StoredIntegration:
        """Stop sending; we still accept webhooks.

        Raises:
            UnknownIntegration: there is none.
        """
        columns = {"paused": True, "paused_reason": reason, "updated_at": now}
        return await self._set(integration_id, columns)

    async def resume(
        self, integration_id: str, *, now: float, version: int | None = None
    ) -> StoredIntegration:
        """Send again, and open the gate. That ends its setting up.

        Raises:
            UnknownIntegration: there is none.
            NotAnswered: nobody has said whom it sends and subscribes.
            VersionChanged: it is not of this `version`, which was checked.
        """
        columns = {"paused": False, "paused_reason": None, "setup": None, "updated_at": now}
        columns |= _gate_columns(Gate())
        before = await self.get(integration_id)
        if before.unanswered:
            raise NotAnswered(integration_id)
        resumed = await self._set(integration_id, columns, NoticeKind.RESUMED, version)
        _tell_turn(integration_id, before.gate, resumed.gate, "resumed")
        return resumed

    async def turn_gate(
        self,
        integration_id: str,
        turn: Callable[[Gate], Gate],
        *,
        now: float,
        asked: StoredIntegration | None = None,
        opens: str = "Cordial answers again",
    ) -> Gate | None:
        """Change the gate by a decision on its present state; None if the integration is gone.

        `asked` is the integration whose account led to it: if it has another account or key by
        now, nothing changes. `opens` says, for the log, why it opens if it does.
        """
        async with self._database.write() as connection:
            try:
                row = await _row(connection, integration_id, lock=True)
            except UnknownIntegration:
                return None
            before = _gate(row)
            after = turn(before) if asked is None or self._is_of(row, asked) else before
            if after != before:
                await _update(connection, integration_id, _gate_columns(after))
                await _announce_turn(connection, integration_id, before, after, now)
        _tell_turn(integration_id, before, after, opens)
        return after

    def _is_of(self, row: Row[tuple[Any, ...]], asked: StoredIntegration) -> bool:
        """Whether an integration still has the account and the key that it had."""
        if row.version == asked.version:
            return True
        try:
            return _access(self._stored(row).integration) == _access(asked.integration)
        except WrongSecretKey:  # another process has encrypted it anew
            return False

    async def delete(self, integration_id: str, *, force: bool, now: float) -> None:
        """Delete an integration; its submissions stay, and pending ones become dead.

        Raises:
            UnknownIntegration: there is none.
            StillPending: submissions are waiting and `force` is not set.
        """
        async with self._database.write() as connection:
            await _row(connection, integration_id, lock=True)
            waiting = (submissions.c.integration_id == integration_id) & (
                submissions.c.status == SubmissionStatus.PENDING
            )
            count = await connection.scalar(select(func.count()).where(waiting)) or 0
            if count and not force:
                raise StillPending(count)
            # In the order in which all lock them: what is under way settles before this, or after.
            lines = (
                select(contacts.c.contact_key)
                .where(contacts.c.integration_id == integration_id)
                .order_by(contacts.c.contact_key)
                .with_for_update()
            )
            await connection.execute(select(func.count()).select_from(lines.subquery()))
            await connection.execute(
                update(submissions)
                .where(waiting)
                .values(
                    status=SubmissionStatus.DEAD,
                    reason=DeadReason.INTEGRATION_DELETED,
                    settled_at=now,
                )
            )
            mine, key = contacts.c.integration_id == integration_id, contacts.c.texted_key
            await connection.execute(
                update(contacts).where(mine, key.is_not(None)).values(_ONLY_TEXTED)
            )
            await connection.execute(delete(contacts).where(mine, key.is_(None)))
            for table in (receipts, sources, refused_webhooks):
                await connection.execute(
                    delete(table).where(table.c.integration_id == integration_id)
                )
            await connection.execute(
                delete(integrations).where(integrations.c.id == integration_id)
            )

    async def _set(
        self,
        integration_id: str,
        columns: dict[str, Any],
        notice: NoticeKind | None = None,
        version: int | None = None,
    ) -> StoredIntegration:
        async with self._database.write() as connection:
            row = await _row(connection, integration_id, lock=True)
            if version is not None and version != row.version:
                raise VersionChanged(row.version)
            await _update(connection, integration_id, columns)
            if notice is not None:
                await announce(connection, notice, integration_id, columns["updated_at"])
        return await self.get(integration_id)

    def _columns(self, integration: Integration) -> dict[str, Any]:
        document = readable_by_0_1_0(document_of(integration))
        secrets = {
            "api_key": document["cordial"].pop("api_key"),
            "webhook_secrets": document["jebbit"].pop("webhook_secrets"),
        }
        return {"config": document, "secrets": self._vault.encrypt(json.dumps(secrets).encode())}

    def _stored(self, row: Row[tuple[Any, ...]]) -> StoredIntegration:
        secrets = json.loads(self._vault.decrypt(row.secrets))
        document = row.config
        document["cordial"]["api_key"] = secrets["api_key"]
        document["jebbit"]["webhook_secrets"] = secrets["webhook_secrets"]
        return StoredIntegration(
            id=row.id,
            integration=Integration.model_validate(document),
            version=row.version,
            paused=row.paused,
            paused_reason=row.paused_reason,
            gate=_gate(row),
            created_at=row.created_at,
            updated_at=row.updated_at,
            setup=None if row.setup is None else Setup.read(row.setup),
        )


async def _soon(reading: Coroutine[None, None, Read]) -> Read:
    """Read while webhooks wait for it: what takes too long is given up, and begun anew."""
    async with asyncio.timeout(_READ_SECONDS):
        return await reading


async def _row(
    connection: AsyncConnection, integration_id: str, *, lock: bool = False
) -> Row[tuple[Any, ...]]:
    if not _SLUG.fullmatch(integration_id):
        raise UnknownIntegration(integration_id)
    query = select(integrations).where(integrations.c.id == integration_id)
    found = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if found is None:
        raise UnknownIntegration(integration_id)
    return found


async def _announce_turn(
    connection: AsyncConnection, integration_id: str, before: Gate, after: Gate, now: float
) -> None:
    """Announce that a gate became blocked or is no longer blocked."""
    was, is_ = (each.state is GateState.BLOCKED for each in (before, after))
    if is_ and not was:
        await announce(connection, NoticeKind.BLOCKED, integration_id, now, after.reason)
    elif was and not is_:
        await announce(connection, NoticeKind.OPENED, integration_id, now)


def _tell_turn(integration_id: str, before: Gate, after: Gate, opens: str) -> None:
    """Log that a gate changed: not each failure while it stays open.

    Of Cordial's reason only our own first words: the rest may repeat what a person answered.
    """
    is_open = after.state is GateState.OPEN
    if after == before or (is_open and before.state is GateState.OPEN):
        return
    (log.info if is_open else log.warning)(
        "gate",
        integration=integration_id,
        state=after.state.value,
        was=before.state.value,
        reason=opens if is_open else (after.reason or "").partition(":")[0],
        until=None if after.until is None else datetime.fromtimestamp(after.until, UTC).isoformat(),
    )


async def _update(
    connection: AsyncConnection, integration_id: str, columns: dict[str, Any]
) -> None:
    changed = update(integrations).where(integrations.c.id == integration_id).values(columns)
    await connection.execute(changed)


def _access(integration: Integration) -> tuple[str, SecretStr]:
    """Return what Cordial lets in or refuses: an account, and a key to it."""
    return integration.cordial.account_url, integration.cordial.api_key


def _gate(row: Row[tuple[Any, ...]]) -> Gate:
    return Gate(GateState(row.gate), row.gate_reason, row.gate_since, row.gate_until, row.failures)


def _gate_columns(gate: Gate) -> dict[str, Any]:
    return {
        "gate": gate.state,
        "gate_reason": gate.reason,
        "gate_since": gate.since,
        "gate_until": gate.until,
        "failures": gate.failures,
    }
