"""Settings come from the environment and from .env, and what is missing is made or asked for."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.delivery.schedule import DELAYS
from app.rules.jurisdictions import EU_COUNTRIES, EXPRESS_CONSENT_COUNTRIES
from app.settings import MissingSecret, Settings, load_secrets

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / ".env.example"
KEY = "a-key-of-the-tests-0123456789"
TOKEN = "a-token-of-the-tests"
POSTGRESQL = "postgresql://ledger/db"


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(**given: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
    return str(refused.value)


# --- Values -------------------------------------------------------------------------------------

DEFAULTS = {
    "database_url": "sqlite:///data/ledger.db",
    "secret_key": None,
    "ops_token": None,
    "host": "127.0.0.1",
    "port": 8000,
    "public_url": None,
    "console": True,
    "run_worker": True,
    "worker_port": None,
    "delivery_concurrency": 50,
    "retry_delays_seconds": DELAYS,
    "webhook_max_bytes": 1024 * 1024,
    "webhook_tolerance_seconds": 300,
    "cordial_extra_hosts": frozenset(),
    "cordial_timeout_seconds": 10,
    "jebbit_api_url": "https://api2.jebbit.com",
    "retention_days": 30,
    "skipped_retention_days": 7,
    "eu_countries": EU_COUNTRIES,
    "express_consent_countries": EXPRESS_CONSENT_COUNTRIES,
    "log_format": "console",
    "log_level": "INFO",
    "data_dir": Path("data"),
}


def test_nothing_needs_to_be_set():
    """Without an environment the service has everything it needs, on an embedded ledger."""
    settings = Settings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.is_sqlite
    assert settings.secret_keys == []


GIVEN = [
    ("DATABASE_URL", POSTGRESQL, POSTGRESQL),
    ("PORT", "9000", 9000),
    ("PORT", "0", 0),
    ("RUN_WORKER", "false", False),
    ("RUN_WORKER", "0", False),
    ("RETRY_DELAYS_SECONDS", "1, 2.5,", (1.0, 2.5)),
    (
        "CORDIAL_EXTRA_HOSTS",
        "localhost:9100, Relay.Example:443",
        {"localhost:9100", "relay.example:443"},
    ),
    ("EU_COUNTRIES", "de, FR", {"DE", "FR"}),
    ("LOG_LEVEL", "debug", "DEBUG"),
    ("JEBBIT_API_URL", "http://localhost:9200/", "http://localhost:9200"),
    ("LOG_FORMAT", "json", "json"),
    ("DATA_DIR", "/var/lib/sync", Path("/var/lib/sync")),
    ("SKIPPED_RETENTION_DAYS", "0", 0),
    ("PUBLIC_URL", "https://hooks.example.com", "https://hooks.example.com"),
]


@pytest.mark.parametrize(("name", "text", "value"), GIVEN)
def test_a_setting_is_read_from_the_environment_and_from_an_env_file(
    name, text, value, monkeypatch, tmp_path
):
    """The same text means the same in both places, with spaces and case forgiven in lists."""
    (tmp_path / ".env").write_text(f"# a comment\n{name}={text}\nUNKNOWN=x\n")
    assert getattr(Settings(), name.lower()) == value
    (tmp_path / ".env").unlink()
    monkeypatch.setenv(name, text)
    assert getattr(Settings(), name.lower()) == value


@pytest.mark.parametrize("name", Settings.model_fields)
def test_blank_is_unset(name, monkeypatch):
    """`NAME=`, as a copied .env.example has it, leaves the default."""
    monkeypatch.setenv(name.upper(), "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


def test_the_environment_wins_over_the_env_file(monkeypatch, tmp_path):
    """What is set for a run counts before what is kept in a file."""
    (tmp_path / ".env").write_text("PORT=1\nHOST=::1\n")
    monkeypatch.setenv("PORT", "2")
    assert (Settings().port, Settings().host) == (2, "::1")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("RUN_WORKER", "perhaps", "valid boolean"),
        ("DELIVERY_CONCURRENCY", "0", "greater than or equal to 1"),
        ("WEBHOOK_MAX_BYTES", "10", "greater than or equal to 1024"),
        ("WEBHOOK_TOLERANCE_SECONDS", "0", "greater than 0"),
        ("CORDIAL_TIMEOUT_SECONDS", "-1", "greater than 0"),
        ("RETENTION_DAYS", "-1", "greater than or equal to 0"),
        ("JEBBIT_API_URL", "http://api2.jebbit.com", "give an https:// address"),
        ("JEBBIT_API_URL", "api2.jebbit.com", "give an https:// address"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
        ("LOG_LEVEL", "LOUD", "use DEBUG, INFO, WARNING or ERROR"),
        ("EU_COUNTRIES", "DE,FRA,1A", "not ISO 3166 alpha-2: 1A, FRA"),
        ("CORDIAL_EXTRA_HOSTS", "localhost", "write host:port, not localhost"),
        pytest.param(
            "CORDIAL_EXTRA_HOSTS",
            "http://localhost:9100",
            "write host:port",
        ),
        ("RETRY_DELAYS_SECONDS", "30,soon", "valid number"),
        pytest.param(
            "RETRY_DELAYS_SECONDS",
            "-30",
            "none of them negative",
        ),
        ("SECRET_KEY", "too-short", "needs at least 16 characters; make one with"),
        ("SECRET_KEY", f"{KEY},too-short", "needs at least 16 characters"),
    ],
)
def test_a_wrong_value_is_refused(name, text, told, monkeypatch):
    """With what is wrong, and never with what was given: it may be a secret."""
    monkeypatch.setenv(name, text)
    message = refusal()
    assert told in message
    assert "too-short" not in message


def test_secrets_are_not_shown():
    """Settings that are printed by mistake give nothing away."""
    shown = repr(Settings(secret_key=KEY, ops_token=TOKEN))
    assert KEY not in shown
    assert TOKEN not in shown


# --- Secrets ------------------------------------------------------------------------------------


def test_given_secrets_are_used_and_nothing_is_written(tmp_path):
    """Several keys, newest first; no file appears."""
    secrets = load_secrets(Settings(secret_key=f" {KEY} , {'o' * 40},", ops_token=TOKEN))
    assert secrets.secret_keys == [KEY, "o" * 40]
    assert (secrets.ops_token, secrets.kept_in) == (TOKEN, {})
    assert list(tmp_path.iterdir()) == []


def test_missing_secrets_are_made_once_and_kept(tmp_path):
    """Long, different, readable by the owner alone, told where, and the same at the next start."""
    settings = Settings(data_dir=tmp_path / "new" / "data")
    made = load_secrets(settings)
    assert made.kept_in == {
        "SECRET_KEY": tmp_path / "new/data/secret_key",
        "OPS_TOKEN": tmp_path / "new/data/ops_token",
    }
    assert len({*made.secret_keys, made.ops_token}) == 2
    assert min(len(each) for each in (*made.secret_keys, made.ops_token)) >= 43  # 256 bits
    modes = [stat.S_IMODE(path.stat().st_mode) for path in made.kept_in.values()]
    assert modes == [0o600, 0o600]
    assert load_secrets(settings) == made
    assert len(list((tmp_path / "new/data").iterdir())) == 2  # no draft stays


def test_only_what_is_missing_is_made(tmp_path):
    """A given key with no token: the token alone is made."""
    secrets = load_secrets(Settings(secret_key=KEY, data_dir=tmp_path))
    assert secrets.secret_keys == [KEY]
    assert list(secrets.kept_in) == ["OPS_TOKEN"]
    assert secrets.ops_token == (tmp_path / "ops_token").read_text()


def test_processes_that_start_at_once_make_one_secret(tmp_path):
    """serve and worker beside each other end up with the same key."""
    code = (
        "from app.settings import *; import sys; sys.stdin.readline();"
        "print(*load_secrets(Settings(_env_file=None, data_dir=sys.argv[1])).secret_keys)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert len({racer.communicate(timeout=30)[0] for racer in racers}) == 1


def test_a_start_that_died_halfway_does_not_stop_the_next(tmp_path):
    """In a container every start has the same process id: a draft left behind is no obstacle."""
    (tmp_path / f"secret_key.{os.getpid()}").write_text("half")
    assert load_secrets(Settings(data_dir=tmp_path)).secret_keys


@pytest.mark.parametrize("name", ["secret_key", "ops_token"])
def test_an_empty_file_is_no_secret(tmp_path, name):
    """An ops token of no characters would let everybody in: closed by default."""
    (tmp_path / name).touch()
    try:
        secrets = load_secrets(Settings(data_dir=tmp_path))
    except MissingSecret:
        return
    assert all((*secrets.secret_keys, secrets.ops_token))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "Set SECRET_KEY and OPS_TOKEN, the same on every replica"),
        ({"secret_key": KEY}, "Set OPS_TOKEN, the same"),
        ({"ops_token": TOKEN}, "Set SECRET_KEY, the same"),
    ],
)
def test_postgresql_wants_its_secrets_given(given, missing, tmp_path):
    """Replicas cannot each make their own: the refusal names what is missing and how to make it."""
    settings = Settings(database_url=POSTGRESQL, data_dir=tmp_path, **given)
    with pytest.raises(MissingSecret) as refused:
        load_secrets(settings)
    assert missing in str(refused.value)
    command = str(refused.value).partition('python -c "')[2].removesuffix('"')
    made = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert Settings(secret_key=made.stdout.decode().strip()).secret_keys
    assert list(tmp_path.iterdir()) == []


def test_postgresql_with_its_secrets_is_served():
    """Nothing is made, nothing is kept."""
    settings = Settings(database_url=POSTGRESQL, secret_key=KEY, ops_token=TOKEN)
    assert load_secrets(settings).kept_in == {}
    assert not settings.is_sqlite


# --- .env.example -------------------------------------------------------------------------------


def test_the_example_names_every_setting():
    """Exactly the fields of Settings, each group of them under a comment."""
    groups = re.findall(r"((?:^#.*\n)*)((?:^[A-Z_]+=.*\n)+)", EXAMPLE.read_text(), re.MULTILINE)
    assert all(comment for comment, _ in groups)
    names = [line.partition("=")[0] for _, lines in groups for line in lines.splitlines()]
    assert sorted(names) == sorted(name.upper() for name in Settings.model_fields)


def test_the_example_changes_nothing():
    """Copied to .env as it is, every setting has its default: people of the EU are still theirs."""
    assert Settings(_env_file=EXAMPLE).model_dump() == Settings().model_dump()
