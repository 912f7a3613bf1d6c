"""What a comparison with history costs, printed: `python -m tests.load.bench_comparison`."""

import asyncio
import contextlib
import logging
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import structlog

from app.main import create_app
from app.operations import comparing
from app.operations.context import Context
from app.sandbox.server import create_sandbox
from app.serving import serving
from app.settings import Settings
from tests.conftest import OPS_TOKEN, SECRET_KEY, WEBHOOK_SECRET, migrate, signed
from tests.load import bench_plan
from tests.postgresql import postgresql_running

_ROUNDS = 40
_STORED = 2_000  # of which the newest are compared
_PATCH = {"policy": {"opt_in": "opted_in_or_null"}, "unmapped": "ignore"}


class Figures(NamedTuple):
    """Milliseconds: of the quickest and the median comparison, the least of this process's CPU for
    one, and the longest pause of others in the round where it was shortest."""

    best: float
    median: float
    cpu: float
    pause: float


async def compared(context: Context, integration_id: str, rounds: int = _ROUNDS) -> Figures:
    """Compare several times, while another task of the same loop wants its turn all the time."""
    pauses: list[float] = []

    async def waiting() -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            pauses.append(now - before)
            before = now

    taken, worked, longest = [], [], []
    for _ in range(rounds):
        other = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        pauses.clear()
        started, begun = time.perf_counter(), time.process_time()
        found = await comparing.compare(context, integration_id, _PATCH)
        taken.append(time.perf_counter() - started)
        longest.append(max(pauses))
        worked.append(time.process_time() - begun)
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other
        assert found.compared == comparing.LAST
    taken.sort()
    return Figures(
        *(1_000 * each for each in (taken[0], taken[len(taken) // 2], min(worked), min(longest)))
    )


def main() -> None:
    """Print the figures on both engines."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        _print("SQLite", f"sqlite:///{folder}/ledger.db", Path(folder))
    with tempfile.TemporaryDirectory() as folder, postgresql_running() as server:
        server.psql("CREATE DATABASE compared;")
        _print("PostgreSQL", server.get_uri(database="compared"), Path(folder))


def _print(engine: str, database_url: str, folder: Path) -> None:
    migrate(database_url)
    with serving(create_sandbox()) as cordial:
        settings = Settings(
            _env_file=None,
            database_url=database_url,
            data_dir=folder,
            secret_key=SECRET_KEY,
            ops_token=OPS_TOKEN,
            cordial_extra_hosts=cordial.removeprefix("http://"),
            run_worker=False,
        )
        app = create_app(settings)
        with serving(app) as url:
            _fill(url, cordial)
        figures = asyncio.run(_measured(settings))
    print(
        f"{engine}: {comparing.LAST} submissions of 20 attributes, best of {_ROUNDS} "
        f"{figures.best:.0f} ms, median {figures.median:.0f} ms, CPU {figures.cpu:.0f} ms; "
        f"longest pause of others {figures.pause:.1f} ms"
    )


async def _measured(settings: Settings) -> Figures:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        context = app.state.console.context
        return await compared(context, "bench")


def _fill(url: str, cordial: str) -> None:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {OPS_TOKEN}"}) as client:
        body = {
            "name": "Bench",
            "cordial": {"account_url": cordial, "api_key": "sandbox-key"},
            "jebbit": {"webhook_secrets": [WEBHOOK_SECRET]},
            "mapping": [each.model_dump(mode="json") for each in bench_plan._integration().mapping],
            "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
        }
        client.post("/integrations", json=body).raise_for_status()
        for start in range(0, _STORED, 100):
            people = [_person(number) for number in range(start, start + 100)]
            client.post("/webhooks/jebbit/bench", **signed(people)).raise_for_status()


def _person(number: int) -> dict[str, object]:
    said = {
        **bench_plan._submission(),
        "email": f"p{number}@example.com",
        "user_session_id": str(number),
    }
    if number % 3:
        said["opt_in"] = "true" if number % 3 == 1 else None
    return said


if __name__ == "__main__":
    main()
