"""Where scenarios are played: it makes the ledgers, PostgreSQL included, and clears up after."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.processes import until
from tests.faults.stage import Report, Stage
from tests.postgresql import postgresql_running
from tests.processes import runs

_numbers = count(1)  # of the stages in this process, whose databases may share a server


class Theatre:
    """Plays scenarios, each on a stage of its own; PostgreSQL is started when first needed.

    `pause` is how long (s) each writer of the load waits between two webhooks, where the scenario
    does not say. `postgresql` gives a server that others use too, but not meanwhile.
    """

    def __init__(
        self, folder: Path, pause: float = 0.02, postgresql: Callable[[], Any] | None = None
    ) -> None:
        self._folder = folder
        self._pause = pause
        self._given = postgresql
        self._server: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def play(self, name: str, play: Any, engine: str, seed: int, scale: int) -> Report:
        """Play a scenario and judge it; the seed is in the report, to play it again."""
        stage = self._stage(engine, seed)
        try:
            play(stage, scale)
            return stage.report(name)
        except BaseException as error:
            error.add_note(f"scenario {name!r} on {engine}, seed {seed}, in {stage.folder}")
            raise
        finally:
            stage.end()

    def _stage(self, engine: str, seed: int) -> Stage:
        number = next(_numbers)
        folder = self._folder / f"stage{number}"
        folder.mkdir()
        if engine == "sqlite":
            return Stage(engine, f"sqlite:///{folder / 'ledger.db'}", folder, seed, self._pause)
        server = self._postgresql()
        server.psql(f"CREATE DATABASE stage{number};")
        url = server.get_uri(database=f"stage{number}")
        return Stage(engine, url, folder, seed, self._pause, database_away=self._postgresql_away)

    def _postgresql(self) -> Any:
        if self._server is None:
            given = self._given or (lambda: self._open.enter_context(postgresql_running()))
            self._server = given()
        return self._server

    @contextmanager
    def _postgresql_away(self) -> Iterator[None]:
        """End PostgreSQL in immediate mode (SIGQUIT), and start it again afterwards."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        until(lambda: not runs(pid), "it ended")
        try:
            yield
        finally:
            self._server.ensure_postgres_running()
