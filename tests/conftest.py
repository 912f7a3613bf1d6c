"""What every test shares: real databases, the sandbox and the whole service over real HTTP."""

import asyncio
import atexit
import gc
import io
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import certifi
import httpx
import pytest
import structlog
import uvicorn.server
from rich.console import Console

from app import demo
from app.__main__ import main
from app.jebbit.signature import HEADER, sign
from app.ledger.database import Database
from app.ledger.schema import metadata
from app.main import create_app
from app.sandbox.account import default_account
from app.sandbox.server import create_sandbox
from app.sandbox.state import Sandbox
from app.serving import serving
from app.settings import Settings
from tests import contract
from tests.jebbit_api.stand_in import StandIn, running_stand_in
from tests.postgresql import postgresql_running, trust_the_system
from tests.processes import Program, fork, start
from tests.routes import read_once
from tests.thorough import thorough
from tests.waiting import wait_for

# The processes that tests start load much; compiled once, that takes them half the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# To sync each commit to a disk costs a tenth of the CPU; files in memory are as real to SQLite.
_MEMORY, _ROOM = Path("/dev/shm"), 2**30  # bytes
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("TMPDIR", str(_MEMORY))
    tempfile.tempdir = None  # read anew

# To read all roots that are trusted usually takes each client and each process up to 60 ms. What
# tests speak to is trusted by none of them.
with tempfile.NamedTemporaryFile("w", prefix="root-", suffix=".pem", delete=False) as _root:
    _root.write(certifi.contents().partition("\n\n#")[0])
os.environ["SSL_CERT_FILE"] = _root.name
atexit.register(os.unlink, _root.name)

SECRET_KEY = "a-secret-key-of-the-tests-0123456789"
OPS_TOKEN = "ops-token-of-the-tests"
WEBHOOK_SECRET = "whsec-0123456789abcdef"
API_KEY = "sandbox-key"


# These mostly wait, and others work meanwhile.
WAITING = (
    "tests/delivery/test_worker.py",
    "tests/faults",
    "tests/test_children.py",
    "tests/delivery/test_notifier.py",
    "tests/console/test_changing.py",
    "tests/ledger/test_standing.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the first worker begin with what mostly waits, and the second one with the browser.

    Each begins with a part of its own, and then takes what comes last in another one's.
    """
    waiting = [each for each in items if each.nodeid.startswith(WAITING)]
    browser = [each for each in items if each.nodeid.startswith("tests/browser")]
    placed = {*waiting, *browser}
    others = [each for each in items if each not in placed]
    begins = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) + 1
    items[:] = waiting + others
    items[begins:begins] = browser


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let nobody look for garbage among thousands of tests, which stay until the end.

    Nor for the little that each of them leaves as often as usual.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _requests_compared() -> Iterator[None]:
    with contract.compared():
        yield


@pytest.fixture(scope="session", autouse=True)
def _routes_read_once() -> Iterator[None]:
    with read_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers_end_at_once() -> Iterator[None]:
    """Let uvicorn look a hundred times a second whether it should end, not ten times.

    It waits as long once more before it ends: most tests have a service of their own.
    """
    hurried = SimpleNamespace(**{**vars(asyncio), "sleep": lambda s: asyncio.sleep(s / 10)})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uvicorn.server, "asyncio", hurried)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test in which a vendor was sent what its description does not allow."""
    result = yield
    assert contract.not_as_described() == set()
    return result


# --- Databases ------------------------------------------------------------------------------

_numbers = count(1)
CUT_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid();"
)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A real PostgreSQL for all tests."""
    with postgresql_running() as server:
        trust_the_system(server)
        yield server


def execute(url: str, *statements: str) -> None:
    """Execute statements on PostgreSQL: a process of psql would cost several times as much."""

    async def run() -> None:
        session = await asyncpg.connect(url)
        for each in statements:
            await session.execute(each)
        await session.close()

    asyncio.run(run())


def migrate(url: str) -> None:
    """Make the ledger's tables."""

    async def run() -> None:
        opened = Database(url)
        await opened.migrate()
        await opened.close()

    asyncio.run(run())


@pytest.fixture(scope="session")
def postgresql_migrated(postgresql_server: Any) -> str:
    """A database with the tables, emptied between tests: that is quicker than another one."""
    postgresql_server.psql("CREATE DATABASE migrated;")
    migrate(postgresql_server.get_uri(database="migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def postgresql_emptied(
    postgresql_server: Any, postgresql_migrated: str
) -> Iterator[Callable[[], None]]:
    """Empty that database, by one session for all tests: a new one first reads the catalogue."""
    url = postgresql_server.get_uri(database=postgresql_migrated)
    delete = "".join(f"DELETE FROM {each.name};" for each in reversed(metadata.sorted_tables))
    sessions: list[Any] = []

    async def empty() -> None:
        if not sessions:
            sessions.append(await asyncpg.connect(url))
        await sessions[0].execute(CUT_OFF)
        await sessions[0].execute(delete)

    with asyncio.Runner() as runner:

        def emptied() -> None:
            try:
                runner.run(empty())
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                sessions.clear()  # a test has ended it with all others
                runner.run(empty())

        yield emptied
        for each in sessions:
            each.terminate()  # a test may have ended it already


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables, to be copied."""
    file = tmp_path_factory.mktemp("template") / "ledger.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: Any) -> str:
    """A database with the tables and no row, of which others are made."""
    postgresql_server.psql("CREATE DATABASE pristine;")
    migrate(postgresql_server.get_uri(database="pristine"))
    return "pristine"


def wants_tables(request: pytest.FixtureRequest) -> bool:
    """Whether a test starts where another start has made the tables: that is quicker."""
    return not {"database", "service", "command", "deploy"}.isdisjoint(request.fixturenames)


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, postgresql_server: Any) -> Iterator[str]:
    """A PostgreSQL database of the test's own, as `DATABASE_URL` names it.

    Empty; for tests that ask for `database`, a service or a command it has the tables, no rows.
    """
    if "database" in request.fixturenames:
        emptied = request.getfixturevalue("postgresql_emptied")
        yield postgresql_server.get_uri(database=request.getfixturevalue("postgresql_migrated"))
        emptied()
        return
    name, template = f"test_{next(_numbers)}", ""
    if wants_tables(request):
        template = f" TEMPLATE {request.getfixturevalue('postgresql_template')}"
    execute(postgresql_server.get_uri(), f"CREATE DATABASE {name}{template}")
    yield postgresql_server.get_uri(database=name)
    execute(postgresql_server.get_uri(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A SQLite file that is not there yet, as `DATABASE_URL` names it.

    But for tests that ask for `database`, a service or a command: they get one with the tables.
    """
    if wants_tables(request):
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def engines() -> list[str]:
    """Return the engines for what is about another matter: SQLite, and both in `make faults`.

    What the ledger does for it, its own tests try on both.
    """
    return ["sqlite", "postgresql"] if thorough() else ["sqlite"]


def database_url_on(chosen: Sequence[str]) -> Any:
    """Return the fixture `database_url`, an empty database, for tests on the chosen engines."""

    @pytest.fixture(params=chosen)
    def database_url(request: pytest.FixtureRequest) -> str:
        return str(request.getfixturevalue(f"{request.param}_url"))

    return database_url


# Each test that asks for one runs on both engines, unless its file says otherwise.
database_url = database_url_on(["sqlite", "postgresql"])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A ledger's database with its tables."""
    opened = Database(database_url)
    yield opened
    await opened.close()


# --- Servers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SandboxServer:
    """A running sandbox: its account URL, and the state behind it."""

    url: str
    sandbox: Sandbox

    @property
    def host(self) -> str:
        """As `CORDIAL_EXTRA_HOSTS` names it."""
        return self.url.removeprefix("http://")

    def bodies(self, email: str | None = None) -> list[Any]:
        """The upserts that Cordial was sent, in order of arrival, perhaps of one contact."""
        entries = [each for each in self.sandbox.journal if each.path == "/v2/contacts"]
        return [each.body for each in entries if email in (None, each.email)]

    def contact(self, email: str) -> Any:
        """The contact that Cordial holds under an address, if any."""
        return self.sandbox.contacts.find("email", email)

    def begin_anew(self) -> None:
        """Be as if just started: earlier tests left contacts, faults, another account."""
        self.sandbox.account = default_account()
        self.sandbox.reset()


@pytest.fixture(scope="session")
def _sandbox_server() -> Iterator[SandboxServer]:
    app = create_sandbox()
    with serving(app) as url:
        yield SandboxServer(url, app.state.sandbox)


@pytest.fixture
def sandbox_server(_sandbox_server: SandboxServer) -> SandboxServer:
    """The sandbox under real HTTP, as if just started."""
    _sandbox_server.begin_anew()
    return _sandbox_server


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid upon it, key by key; lists are replaced."""
    both = {
        key: merged(base[key], value)
        for key, value in over.items()
        if isinstance(base.get(key), dict) and isinstance(value, dict)
    }
    return {**base, **over, **both}


def integration_body(account_url: str, **overrides: Any) -> dict[str, Any]:
    """Return the body of POST /integrations that tests start from."""
    body = {
        "name": "Spring quiz",
        "state": "active",
        "cordial": {"account_url": account_url, "api_key": API_KEY},
        "jebbit": {"webhook_secrets": [WEBHOOK_SECRET]},
        "mapping": [
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "quiz_outcome"},
        ],
        "policy": {"collect": "both", "opt_in": "opted_in_or_null", "auto_subscribe": True},
    }
    return merged(body, overrides)


@dataclass
class Service:
    """The whole service, running; `client` carries the ops token."""

    url: str
    token: str
    account_url: str
    client: httpx.Client
    stop: Callable[[], None]
    settings: Settings = field(repr=False)

    def create_integration(self, **overrides: Any) -> dict[str, Any]:
        """Create an integration with the sandbox, by the API; return what it answers."""
        body = integration_body(self.account_url, **overrides)
        answer = self.client.post("/integrations?force=true", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def post(self, body: Any, integration: str = "spring-quiz", **how: Any) -> httpx.Response:
        """Post a signed webhook, as Jebbit would; see `signed` for the rest."""
        return post_webhook(self.url, body, integration, **how)

    def submission(self, submission_id: str) -> dict[str, Any]:
        """Return a submission as the API shows it."""
        answer = self.client.get(f"/submissions/{submission_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait(
        self,
        submission_id: str,
        until: Callable[[dict[str, Any]], bool] = lambda each: each["status"] != "pending",
        timeout: float = 10,
    ) -> dict[str, Any]:
        """Return a submission once it is as wanted, by default settled."""
        found: dict[str, Any] = {}

        def is_so() -> bool:
            found.update(self.submission(submission_id))
            return until(found)

        wait_for(is_so, timeout, f"submission {submission_id}")
        return found


def signed(
    body: Any,
    secret: str = WEBHOOK_SECRET,
    at: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content and the headers of a webhook; a body that is not bytes goes as JSON.

    `at` is when it is signed, in unix seconds; `headers` are laid upon those it has.
    """
    content = body if isinstance(body, bytes) else httpx.Request("POST", "/", json=body).content
    signature = sign(body=content, secret=secret, at=int(time.time() if at is None else at))
    usual = {"content-type": "application/json", HEADER: signature}
    return {"content": content, "headers": {**usual, **(headers or {})}}


def post_webhook(
    url: str, body: Any, integration: str = "spring-quiz", **how: Any
) -> httpx.Response:
    """Post a signed webhook to a service; see `signed`."""
    with httpx.Client(verify=False) as client:  # http; reading certificates would cost 25 ms
        return client.post(f"{url}/webhooks/jebbit/{integration}", **signed(body, **how))


@pytest.fixture
def service(
    tmp_path: Path, sqlite_url: str, sandbox_server: SandboxServer
) -> Iterator[Callable[..., Service]]:
    """Start the whole service: `service(**settings)`, as often as wanted.

    Without `database_url` all of a test's share one SQLite ledger, so a second call after `stop`
    is a restart. `clock` takes the place of the clock that webhooks are judged by.
    """
    stops: list[Callable[[], None]] = []

    def start(*, clock: Callable[[], float] = time.time, **settings: Any) -> Service:
        defaults = {
            "database_url": sqlite_url,
            "data_dir": tmp_path / "data",
            "secret_key": SECRET_KEY,
            "ops_token": OPS_TOKEN,
            "cordial_extra_hosts": sandbox_server.host,
        }
        chosen = Settings(_env_file=None, **{**defaults, **settings})
        running = serving(create_app(chosen, clock, processes=chosen.processes or 1))
        url = running.__enter__()
        token = chosen.ops_token.get_secret_value() if chosen.ops_token else ""
        headers = {"authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=url, headers=headers, timeout=30)  # a busy machine's too
        stopped = threading.Event()

        def stop() -> None:
            if not stopped.is_set():
                stopped.set()
                client.close()
                running.__exit__(None, None, None)

        stops.append(stop)
        return Service(url, token, sandbox_server.url, client, stop, chosen)

    yield start
    for stop in reversed(stops):
        stop()


# --- The command line -----------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ran]]:
    """Run `python -m app` in this process: `command(*arguments, **environment)`."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def run(*arguments: str, stdin: str = "", **environment: str) -> Ran:
        capsys.readouterr()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["app", *arguments])
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in {"OPS_TOKEN": OPS_TOKEN, **environment}.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    yield run
    root.handlers, root.level = handlers, level


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start `python -m app` in a process: `launch(*arguments, **settings)`, as often as wanted.

    Each has the test's own folder, a free port, and no setting but these. `under` is a program
    that starts it instead of us.
    """
    launched: list[Program] = []

    def one(*arguments: str, under: Sequence[str] = (), **settings: str) -> Program:
        launched.append(start(arguments, tmp_path, settings, under))
        return launched[-1]

    yield one
    for each in launched:
        each.kill()


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Do as `launch` does, by forks: for tests that are not about the start."""
    made: list[Program] = []

    def one(*arguments: str, **settings: str) -> Program:
        made.append(fork(arguments, tmp_path, settings))
        return made[-1]

    yield one
    for each in made:
        each.kill()


# --- Others ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _jebbit() -> Iterator[StandIn]:
    with running_stand_in() as jebbit:
        yield jebbit


@pytest.fixture
def jebbit(_jebbit: StandIn) -> StandIn:
    """A Jebbit as if just started."""
    _jebbit.reset()
    return _jebbit


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Undo what a test configures in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@dataclass(frozen=True)
class Played:
    """What the demo printed, and the metrics of its service afterwards."""

    table: str
    metrics: str


@pytest.fixture(scope="session")
def demo_played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """All situations of the demo, played on a service and a sandbox of their own."""
    printed = io.StringIO()
    with serving(create_sandbox()) as cordial:
        settings = demo._settings(tmp_path_factory.mktemp("demo"), cordial)
        headers = {"Authorization": f"Bearer {demo._TOKEN}"}
        with (
            serving(create_app(settings)) as url,
            httpx.Client(base_url=url, headers=headers) as ops,
        ):
            for body in demo._integrations(cordial):
                ops.post("/integrations?force=true", json=body).raise_for_status()
            assert demo._play(Console(file=printed, width=140), ops, cordial) == 0
            return Played(printed.getvalue(), ops.get("/metrics").text)
