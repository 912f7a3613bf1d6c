"""The load of the fault scenarios: signed webhooks, for each contact one after the other.

What was answered 202 is what the service has promised to keep.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx

from app.jebbit.signature import HEADER, sign
from tests.faults.processes import PATIENCE, until

SECRET = "whsec-0123456789abcdef"

Number = tuple[str, int]
"""A contact and which of its submissions: what the load counts, and the journal shows."""


class Load:
    """Posts webhooks from several threads; each has contacts of its own, to keep their order."""

    def __init__(self, targets: Callable[[], list[str]], seed: int, contacts: int) -> None:
        self._targets = targets
        self._seed = seed
        self._contacts = contacts
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.accepted: dict[Number, str | None] = {}  # with the id, where one was told
        self.refused: dict[int, int] = defaultdict(int)
        self.errors: list[str] = []

    def start(self, pause: float, writers: int = 4) -> None:
        """Begin; a pause in seconds between two webhooks of a thread sets the pace."""
        for writer in range(writers):
            arguments = (writer, writers, pause)
            thread = threading.Thread(target=self._write, args=arguments, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End when each thread's webhook is accepted."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not self.errors, f"{len(self.errors)} errors, first {self.errors[0]}"
        assert not any(thread.is_alive() for thread in self._threads), "a webhook never got in"

    def more(self, count: int) -> None:
        """Return when so many more were accepted."""
        goal = len(self.accepted) + count
        until(lambda: self.errors or len(self.accepted) >= goal, f"{count} more accepted")

    def _write(self, writer: int, writers: int, pause: float) -> None:
        chance = random.Random(self._seed * 1000 + writer)
        mine = [f"c{each}" for each in range(self._contacts) if each % writers == writer]
        numbers: dict[str, int] = defaultdict(int)
        try:
            with httpx.Client(timeout=15) as http:
                while not self._stop.is_set():
                    contact = chance.choice(mine)
                    self._post(http, (contact, numbers[contact]), chance)
                    numbers[contact] += 1
                    self._stop.wait(pause)
        except Exception as error:
            self.errors.append(repr(error))

    def _post(self, http: httpx.Client, number: Number, chance: random.Random) -> None:
        """Post one until it is accepted, as Jebbit would: the same again, wherever one answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            target = chance.choice(self._targets() or [""])
            try:
                answer = post(http, target, submission(*number))
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 202:
                ids = answer.json()["submissions"]
                self.accepted[number] = ids[0] if ids else None  # None: we had it already
                return
            self.refused[answer.status_code] += 1
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.errors.append(f"{answer.status_code} {answer.text[:200]}")
            time.sleep(0.05)
        raise AssertionError(f"{number} was never accepted")


def submission(contact: str, number: int, **more: Any) -> dict[str, Any]:
    """Return a submission whose outcome is its number."""
    return {
        "email": f"{contact}@example.com",
        "opt_in": "true",
        "outcome": str(number),
        "user_session_id": f"{contact}-{number}",
        **more,
    }


def post(
    http: httpx.Client, target: str, body: Any, integration: str = "spring-quiz"
) -> httpx.Response:
    """Post one signed webhook."""
    content = httpx.Request("POST", "http://x", json=body).content
    headers = {HEADER: sign(body=content, secret=SECRET, at=int(time.time()))}
    return http.post(f"{target}/webhooks/jebbit/{integration}", content=content, headers=headers)
