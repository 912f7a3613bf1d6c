"""Settings come from the environment and from .env, and what is missing is made or asked for."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr
from pydantic_core import from_json

from app.delivery.schedule import DELAYS
from app.mounted import BadSettings
from app.rules.jurisdictions import EU_COUNTRIES, EXPRESS_CONSENT_COUNTRIES
from app.settings import HandedOn, MissingSecret, Settings, load_secrets, misspelt, read_settings
from tests.processes import forks

EXAMPLE = Path(__file__).parent.parent / ".env.example"
KEY = "a-key-of-the-tests-0123456789"
TOKEN = "a-token-of-the-tests"
POSTGRESQL = "postgresql://ledger/db"


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        for each in (name, name.upper(), f"{name.upper()}_FILE"):
            monkeypatch.delenv(each, raising=False)


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
    "processes": None,
    "keep_alive_seconds": 75,
    "no_proxy": "",
    "delivery_concurrency": 50,
    "retry_delays_seconds": DELAYS,
    "webhook_max_bytes": 1024 * 1024,
    "webhook_tolerance_seconds": 300,
    "cordial_extra_hosts": frozenset(),
    "cordial_timeout_seconds": 10,
    "jebbit_api_url": "https://api2.jebbit.com",
    "retention_days": 30,
    "skipped_retention_days": 7,
    "decision_retention_days": 1825,
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
    ("PROCESSES", "3", 3),
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
    ("PUBLIC_URL", "http://10.0.0.5:8000/", "http://10.0.0.5:8000"),
    ("PUBLIC_URL", "https://example.com/a/sync/", "https://example.com/a/sync"),
    ("HOST", "::", "::"),
    ("HOST", "0.0.0.0", "0.0.0.0"),
    ("HOST", "sync.internal", "sync.internal"),
    ("EU_COUNTRIES", "uk,EL", {"GB", "GR"}),
    ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, ::1", "10.0.0.0/8,::1"),
    ("FORWARDED_ALLOW_IPS", "*", "*"),
    ("KEEP_ALIVE_SECONDS", "620", 620),
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


URL = "write the address alone, such as https://sync.example.com"
PROXY = "write http://host:port or http://user:password@host:port"
LISTEN = "write an IP address, such as 0.0.0.0 for all"
TOO_ODD = "holds a space, a quote or a sign that is not ASCII; make one with: python"
MANY_LINES = "holds a line break or another control character; write one line"

REFUSED = [
    ("PORT", "http", "write a whole number"),
    ("PORT", "65536", "write a number up to 65535"),
    ("PORT", "8000\n", MANY_LINES),
    ("WORKER_PORT", "tcp:8000", "write a whole number"),
    ("HOST", "http://0.0.0.0", LISTEN),
    ("HOST", "0.0.0.0:8000", LISTEN),
    ("HOST", "10.0.0.300", LISTEN),
    ("HOST", "[::1]", LISTEN),
    ("RUN_WORKER", "perhaps", "write true or false"),
    ("CONSOLE", "2", "write true or false"),
    ("DELIVERY_CONCURRENCY", "0", "write a number from 1 on"),
    ("PROCESSES", "0", "write a number from 1 on"),
    ("PROCESSES", "17", "write a number up to 16"),
    ("PROCESSES", "auto", "write a whole number"),
    ("KEEP_ALIVE_SECONDS", "0", "write a number from 1 on"),
    ("WEBHOOK_MAX_BYTES", "10", "write a number from 1024 on"),
    ("WEBHOOK_TOLERANCE_SECONDS", "0", "write a number over 0"),
    ("CORDIAL_TIMEOUT_SECONDS", "-1", "write a number over 0"),
    ("RETENTION_DAYS", "-1", "write a number from 0 on"),
    ("RETENTION_DAYS", "a month", "write a number"),
    ("RETENTION_DAYS", "inf", "write a number"),
    ("SKIPPED_RETENTION_DAYS", "nan", "write a number"),
    ("JEBBIT_API_URL", "http://api2.jebbit.com", "write an https:// address"),
    ("JEBBIT_API_URL", "api2.jebbit.com", "write an https:// address"),
    ("PUBLIC_URL", "sync.example.com", URL),
    ("PUBLIC_URL", "https://", URL),
    ("PUBLIC_URL", "https://sync.example.com:x", URL),
    ("PUBLIC_URL", "https://sync.example.com/?a=b", URL),
    ("PUBLIC_URL", "https://ann:secret-word@sync.example.com", URL),
    ("PUBLIC_URL", "https://sync. example.com", URL),
    ("PUBLIC_URL", "https://s\u00fcnc.example.com", URL),
    ("PUBLIC_URL", "https://x.example/webhooks/jebbit/a", "its path may not begin with /webhooks"),
    ("PUBLIC_URL", "https://x.example/docs", "its path may not begin with /docs"),
    ("NOTIFY_URL", "hooks.example.com/secret-word", "write an address such as https://hooks"),
    ("NOTIFY_URL", "mailto:ann@example.com", "write an address such as https://hooks"),
    ("CORDIAL_PROXY_URL", "socks5://proxy.example:1080", PROXY),
    ("CORDIAL_PROXY_URL", "http://ann:secret-word@x@proxy.example", PROXY),
    ("CORDIAL_PROXY_URL", "http://ann:secret-word#x@proxy.example", PROXY),
    ("CORDIAL_PROXY_URL", "http://proxy.example/path", PROXY),
    ("HTTPS_PROXY", "http://proxy.example:99999", PROXY),
    ("HTTP_PROXY", "http://:secret-word@proxy.example", "its user may be neither empty nor"),
    ("FORWARDED_ALLOW_IPS", "proxy", "write IP addresses or networks such as 10.0.0.0/8, or *"),
    ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "write IP addresses or networks"),
    ("LOG_FORMAT", "xml", "write 'console' or 'json'"),
    ("LOG_LEVEL", "LOUD", "use DEBUG, INFO, WARNING or ERROR"),
    ("LOG_LEVEL", '"INFO"', "write it without the quotes around it"),
    ("EU_COUNTRIES", "DE,FRA,1A", "not ISO 3166 alpha-2: 1A, FRA"),
    ("EU_COUNTRIES", "DE,XX", "not ISO 3166 alpha-2: XX"),
    ("EU_COUNTRIES", ",", "names no country"),
    ("RETRY_DELAYS_SECONDS", " , ", "names no delay"),
    ("CORDIAL_EXTRA_HOSTS", "localhost", "write host:port, not localhost"),
    ("CORDIAL_EXTRA_HOSTS", "http://localhost:9100", "write host:port"),
    ("CORDIAL_EXTRA_HOSTS", "localhost:99999", "write host:port"),
    ("CORDIAL_EXTRA_HOSTS", f"{'x' * 64}.example.com:443", "write host:port"),
    ("NOTIFY_URL", f"https://{'x' * 64}.example.com", "write an address such as https://hooks"),
    ("NOTIFY_URL", f"https://{'x.' * 127}example.com", "write an address such as https://hooks"),
    ("RETRY_DELAYS_SECONDS", "30,soon", "write a number"),
    ("RETRY_DELAYS_SECONDS", "-30", "give seconds, none of them negative"),
    ("RETRY_DELAYS_SECONDS", "1e300", "or over 30 days"),
    ("SECRET_KEY", "secret-word", "needs at least 16 characters; make one with"),
    ("SECRET_KEY", f"{KEY},secret-word", "needs at least 16 characters"),
    ("SECRET_KEY", f"'{KEY}'", "write it without the quotes around it"),
    ("OPS_TOKEN", f"{TOKEN}\n", MANY_LINES),
    ("OPS_TOKEN", f'"{TOKEN}"', "write it without the quotes around it"),
    ("OPS_TOKEN", f'{TOKEN}"secret-word', TOO_ODD),
    ("OPS_TOKEN", f"{TOKEN} secret-word", TOO_ODD),
    ("OPS_TOKEN", f"{TOKEN}-gehe\u00efm", TOO_ODD),
    ("OPS_TOKENS", f"ann:admin:{TOKEN}-gehe\u00efm", f"the token of ann {TOO_ODD}"),
    ("LEASE_SECONDS", "10", "LEASE_SECONDS must be at least twice CORDIAL_TIMEOUT_SECONDS"),
]


@pytest.mark.parametrize(("name", "text", "told"), REFUSED)
def test_a_wrong_value_is_refused_in_a_line_with_its_name(name, text, told, monkeypatch):
    """That says what to write, and never what was given where that may be a secret."""
    monkeypatch.setenv(name, text)
    with pytest.raises(BadSettings) as refused:
        read_settings()
    [line] = str(refused.value).splitlines()
    assert line.removeprefix(f"{name}: ").startswith(told) or told in line
    assert name in line
    assert not any(each in line for each in ("secret-word", TOKEN, KEY))


def test_all_that_is_wrong_is_told_at_once(monkeypatch):
    """A line for each, so that one start is enough to mend them."""
    wrong = ("PORT", "RETENTION_DAYS", "PUBLIC_URL")
    for name in wrong:
        monkeypatch.setenv(name, "x")
    with pytest.raises(BadSettings) as refused:
        read_settings()
    lines = str(refused.value).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(wrong)


def test_an_env_file_that_is_no_text_is_named(tmp_path):
    """Instead of a start without what it holds."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match=r"^\.env: is not UTF-8 text"):
        read_settings()


def test_a_mark_at_the_start_of_an_env_file_hides_no_setting(tmp_path):
    """Some editors write one; the first line would be taken for another name."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=9000\n")
    assert Settings().port == 9000


SERVICE_VARIABLES = {
    "_PORT": "tcp://10.96.0.7:8000",
    "_SERVICE_HOST": "10.96.0.7",
    "_SERVICE_PORT": "8000",
    "_PORT_8000_TCP": "tcp://10.96.0.7:8000",
    "_PORT_8000_TCP_ADDR": "10.96.0.7",
    "_PORT_8000_TCP_PORT": "8000",
    "_PORT_8000_TCP_PROTO": "tcp",
}


@pytest.mark.parametrize("service", ["worker", "service", "host", "port", "data-dir", "no-proxy"])
def test_what_kubernetes_sets_for_a_service_of_any_name_changes_nothing(service, monkeypatch):
    """Every container gets such variables for every Service, and Docker's links set the same."""
    names = {name.removesuffix("_port").replace("_", "-") for name in Settings.model_fields}
    before = Settings()
    for each in (service, *names):
        for ending, value in SERVICE_VARIABLES.items():
            monkeypatch.setenv(each.upper().replace("-", "_") + ending, value)
    assert read_settings() == before


def test_certificates_that_cannot_be_read_are_told_of_at_start(monkeypatch, tmp_path):
    """Not at the first webhook: SSL_CERT_FILE holds what a proxy that opens TLS signs with."""
    for given, told in ((tmp_path / "none", "cannot be read"), (__file__, "no certificates")):
        monkeypatch.setenv("SSL_CERT_FILE", str(given))
        with pytest.raises(BadSettings, match=f"^SSL_CERT_FILE: .*{told}"):
            read_settings()


def test_a_name_that_is_nearly_a_setting_is_told_of(tmp_path, monkeypatch):
    """It changes nothing, and nobody would notice; what others call their own is left alone."""
    for name in os.environ:
        monkeypatch.delenv(name)
    others = ("PORTS", "HOSTNAME", "WORKER_SERVICE_PORT", "POSTGRES_PASSWORD", "OTEL_SDK_DISABLED")
    for name in (*others, "NOTIFY_URLS"):
        monkeypatch.setenv(name, "x")
    (tmp_path / ".env").write_text("RETENTON_DAYS=5\nSECRETKEY_FILE=x\nHTTPS_PROXY=x\n")
    assert misspelt() == [
        "NOTIFY_URLS is no setting and changes nothing; NOTIFY_URL is one",
        "RETENTON_DAYS is no setting and changes nothing; RETENTION_DAYS is one",
        "SECRETKEY_FILE is no setting and changes nothing; SECRET_KEY_FILE is one",
    ]


# --- Secrets in files ---------------------------------------------------------------------------

IN_FILES = {
    "DATABASE_URL": POSTGRESQL,
    "SECRET_KEY": KEY,
    "OPS_TOKEN": TOKEN,
    "OPS_TOKENS": f"ann:admin:{TOKEN}",
    "NOTIFY_URL": "https://hooks.example.com/x",
    "CORDIAL_PROXY_URL": "http://ann:word@proxy.example:3128",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "HTTP_PROXY": "http://proxy.example:3128",
}


def test_every_secret_may_be_in_a_file():
    """All that are shown to nobody, and the ledger's address, which holds a password."""
    hidden = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    }
    assert set(IN_FILES) == hidden | {"DATABASE_URL"}


@pytest.mark.parametrize("name", IN_FILES)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_secret_is_read_from_the_file_that_is_named(name, place, tmp_path, monkeypatch):
    """As Docker and Kubernetes mount it: what ends its line is not part of it."""
    file = tmp_path / "mounted"
    file.write_text(f"{IN_FILES[name]}\n")
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}=\n{name}_FILE={file}\n")
    else:
        monkeypatch.setenv(f"{name}_FILE", str(file))
    read, given = read_settings(), Settings(_env_file=None, **{name.lower(): IN_FILES[name]})
    assert getattr(read, name.lower()) == getattr(given, name.lower())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "OPS_TOKEN_FILE: .* cannot be read: No such file"),
        (b"\n", "OPS_TOKEN_FILE: .* is empty"),
        (b"\xff", "OPS_TOKEN_FILE: .* is not text"),
        (b"a-token of two words", "OPS_TOKEN: holds a space"),
    ],
)
def test_a_file_without_a_secret_is_refused(content, told, tmp_path, monkeypatch):
    """An empty mount must not lead to a token that is made up, or to none."""
    file = tmp_path / "mounted"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("OPS_TOKEN_FILE", str(file))
    with pytest.raises(BadSettings, match=f"^{told}"):
        read_settings()


def test_a_secret_given_twice_is_refused(tmp_path, monkeypatch):
    """Nobody could say which one holds; but the environment still counts before .env."""
    (tmp_path / "mounted").write_text(TOKEN)
    (tmp_path / ".env").write_text("OPS_TOKEN=another-token-of-the-tests\n")
    monkeypatch.setenv("OPS_TOKEN_FILE", "mounted")
    assert read_settings().ops_token == SecretStr(TOKEN)
    monkeypatch.setenv("OPS_TOKEN", TOKEN)
    with pytest.raises(BadSettings, match="OPS_TOKEN and OPS_TOKEN_FILE are both set"):
        read_settings()


def test_secrets_are_not_shown():
    """Settings that are printed by mistake give nothing away."""
    shown = repr(Settings(secret_key=KEY, ops_token=TOKEN))
    assert KEY not in shown
    assert TOKEN not in shown


def test_settings_are_handed_on_as_they_are(monkeypatch):
    """A process of our own has the same, whatever the environment and the files say by then."""
    given = {
        "database_url": POSTGRESQL,
        "secret_key": f"{KEY},{'o' * 40}",
        "ops_tokens": f"ann:admin:{TOKEN}",
        "cordial_proxy_url": "http://ann:word@proxy.example:3128",
        "cordial_extra_hosts": "localhost:9100",
        "retry_delays_seconds": "1,2.5",
        "eu_countries": "de,FR",
        "public_url": "https://example.com/a/sync/",
        "data_dir": "elsewhere",
    }
    settings = Settings(_env_file=None, **given)
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "something else")
    monkeypatch.setenv("OPS_TOKEN_FILE", "no-such-file")
    assert dict(HandedOn(**from_json(settings.handed_on()))) == dict(settings)


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
    started, made = forks.Barrier(3), forks.SimpleQueue()
    racers = [forks.Process(target=_make_secrets, args=(tmp_path, started, made)) for _ in range(3)]
    for racer in racers:
        racer.start()
    assert len({made.get() for _ in racers}) == 1
    for racer in racers:
        racer.join()


def _make_secrets(folder: Path, started: Any, made: Any) -> None:
    settings = Settings(_env_file=None, data_dir=folder)
    started.wait()
    made.put(tuple(load_secrets(settings).secret_keys))


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
