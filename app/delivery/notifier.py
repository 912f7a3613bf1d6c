"""Tells somebody, by a message to NOTIFY_URL, what the ledger has announced."""

import asyncio
from collections.abc import Callable
from functools import partial

import httpx
import structlog

from app.answers import exchange
from app.ledger.database import Database, failure_event
from app.ledger.notices import Notice, NoticeKind, claim_notices, settle_notice
from app.telemetry.logs import place_of

log = structlog.get_logger("notices")

POLL_SECONDS = 2.0
_GIVE_UP_SECONDS = 86_400.0
_TIMEOUT_SECONDS = 10.0


class Notifier:
    """Posts notices one by one; apart from delivery, so that neither waits for the other."""

    def __init__(
        self,
        database: Database,
        http: httpx.AsyncClient,
        url: str,
        ops_url: str,
        clock: Callable[[], float],
    ) -> None:
        """Take where to post, and the address under which ops reach the service."""
        self._database = database
        self._http = http
        self._url = url
        self._ops_url = ops_url
        self._clock = clock

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                await self.tell()
            except Exception as error:  # it must outlive whatever one round meets
                log.warning(failure_event(error), error=place_of(error))
            await asyncio.sleep(POLL_SECONDS)

    async def tell(self) -> int:
        """Post what is due; return how many were told."""
        told = 0
        for notice in await claim_notices(self._database, self._clock()):
            taken = await self._post(notice)
            late = self._clock() - notice.created_at > _GIVE_UP_SECONDS
            if taken or late:
                await settle_notice(self._database, notice, told=taken, now=self._clock())
            told += taken
        return told

    async def _post(self, notice: Notice) -> bool:
        message = {
            "text": text_of(notice, self._ops_url),
            "event": notice.kind.value,
            "integration": notice.integration_id,
            "count": notice.events,
        }
        request = self._http.build_request("POST", self._url, json=message)
        send = partial(self._http.send, stream=True)
        try:
            answer = await exchange(send, request, _TIMEOUT_SECONDS, most=0)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("notice_not_told", kind=notice.kind.value, error=type(error).__name__)
            return False
        if not answer.is_success:
            log.warning("notice_not_told", kind=notice.kind.value, status=answer.status)
        return answer.is_success


def text_of(notice: Notice, ops_url: str) -> str:
    """Return the message for a person: what happened, and what to do. No personal data."""
    name = notice.integration_id
    match notice.kind:
        case NoticeKind.CREATED:
            when = " when it is resumed" if notice.detail else ""
            return f"Integration {name} was created. It sends{when}."
        case NoticeKind.RESUMED:
            return f"Integration {name} sends."
        case NoticeKind.BLOCKED:
            return (
                f"Integration {name} is blocked: {notice.detail} Nothing is lost, it waits. Mend "
                f"the cause, then POST {ops_url}/integrations/{name}/check"
            )
        case NoticeKind.OPENED:
            return f"Integration {name} is open again and sends what waited."
        case NoticeKind.DEAD:
            return (
                f"Integration {name}: {notice.events} dead submission(s), a person must look: "
                f"GET {ops_url}/submissions?status=dead&integration={name}"
            )
        case NoticeKind.DRIFT:
            more = f"POST {ops_url}/integrations/{name}/check"
            return f"Integration {name} {notice.detail} The whole: {more}"
