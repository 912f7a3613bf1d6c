"""Settings: the only reader of the environment."""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from ssl import SSLError
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import httpx
from dotenv import dotenv_values
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import to_json
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app import addresses
from app.delivery.schedule import DELAYS
from app.egress import NoProxy, Proxy, Routes
from app.ledger.address import read_address
from app.mounted import BadSettings, SecretFiles
from app.operations.callers import OPS, Role, Token, read_tokens
from app.operations.strength import SHORTEST, weakness
from app.rules.jurisdictions import (
    EU_COUNTRIES,
    EUROPE,
    EXPRESS_CONSENT_COUNTRIES,
    Jurisdictions,
    country_code,
)
from app.telemetry.logs import LogFormat

_IN_FILES = (
    "database_url",
    "secret_key",
    "ops_token",
    "ops_tokens",
    "cordial_proxy_url",
    "https_proxy",
    "http_proxy",
    "notify_url",
)
"""The settings that hold a secret: each may be in a file, which NAME_FILE names."""

_OWN_PATHS = frozenset(
    "audit console docs decisions erasures healthz integrations metrics openapi.json readyz stats "
    "submissions webhooks".split()
)
_SERVICE_VARIABLE = re.compile(r"(tcp|udp|sctp)://")
_BLANKS = re.compile(r"[\x00-\x1f\x7f]")
_HUNDRED_YEARS = 36_525  # days
_LONGEST_DELAY = 30 * 86_400.0  # seconds


class Settings(BaseSettings):
    """The settings, from the environment and `.env`; each has a line in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",  # some editors put a mark before the first name
        env_ignore_empty=True,  # `NAME=` counts as not set
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    database_url: str = "sqlite:///data/ledger.db"
    database_pooler: Literal["transaction"] | None = None
    secret_key: SecretStr | None = None
    ops_token: SecretStr | None = None
    ops_tokens: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    public_url: str | None = None
    forwarded_allow_ips: str = "127.0.0.1,::1"
    keep_alive_seconds: int = Field(75, ge=1, le=3600)
    console: bool = True
    run_worker: bool = True
    processes: int | None = Field(None, ge=1, le=16)  # None: by the cores
    worker_port: int | None = Field(None, ge=0, le=65535)
    delivery_concurrency: int = Field(50, ge=1, le=1000)
    retry_delays_seconds: Annotated[tuple[float, ...], NoDecode] = DELAYS
    lease_seconds: float = Field(60.0, ge=1, le=86_400)
    webhook_max_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    webhook_tolerance_seconds: float = Field(300.0, gt=0, le=86_400)
    cordial_extra_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    cordial_timeout_seconds: float = Field(10.0, gt=0, le=600)
    cordial_proxy_url: SecretStr | None = None
    https_proxy: SecretStr | None = None
    http_proxy: SecretStr | None = None
    no_proxy: str = ""
    jebbit_api_url: str = "https://api2.jebbit.com"
    retention_days: float = Field(30.0, ge=0, le=_HUNDRED_YEARS)
    skipped_retention_days: float = Field(7.0, ge=0, le=_HUNDRED_YEARS)
    decision_retention_days: float = Field(1825.0, ge=0, le=_HUNDRED_YEARS)
    eu_countries: Annotated[frozenset[str], NoDecode] = EU_COUNTRIES
    express_consent_countries: Annotated[frozenset[str], NoDecode] = EXPRESS_CONSENT_COUNTRIES
    notify_url: SecretStr | None = None
    log_format: LogFormat = "console"
    log_level: str = "INFO"
    data_dir: Path = Path("data")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets also from files: what is given here, files, environment, .env."""
        files = SecretFiles(settings_cls, [env_settings, dotenv_settings], _IN_FILES)
        return init_settings, files, env_settings, dotenv_settings

    @property
    def jurisdictions(self) -> Jurisdictions:
        """Whose people which rules protect."""
        return Jurisdictions(self.eu_countries, self.express_consent_countries)

    @property
    def path_prefix(self) -> str:
        """The path under which a proxy shows the service, as /sync; blank without one."""
        return urlsplit(self.public_url or "").path

    @property
    def routes(self) -> Routes:
        """Which proxy takes requests to where."""
        return Routes(
            cordial=_proxy("CORDIAL_PROXY_URL", self.cordial_proxy_url),
            https=_proxy("HTTPS_PROXY", self.https_proxy),
            http=_proxy("HTTP_PROXY", self.http_proxy),
            without=NoProxy(self.no_proxy),
        )

    @field_validator("*", mode="before")
    @classmethod
    def _is_one_plain_line(cls, value: object, about: ValidationInfo) -> object:
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(given, str):
            return value
        if _BLANKS.search(given):
            raise ValueError("holds a line break or another control character; write one line")
        if len(given) > 1 and given[0] == given[-1] and given[0] in "\"'":
            raise ValueError("write it without the quotes around it")
        name = about.field_name or ""
        # Kubernetes and Docker set WORKER_PORT=tcp://... where a service is named worker.
        if name.endswith("_port") and _SERVICE_VARIABLE.match(given):
            return cls.model_fields[name].default
        return value

    @field_validator(
        "cordial_extra_hosts",
        "eu_countries",
        "express_consent_countries",
        "retry_delays_seconds",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("eu_countries", "express_consent_countries")
    @classmethod
    def _are_codes(cls, value: frozenset[str]) -> frozenset[str]:
        codes = {each: country_code(each) for each in value if len(each) == 2}
        if wrong := sorted(each for each in value if codes.get(each) in (None, EUROPE)):
            raise ValueError(f"not ISO 3166 alpha-2: {', '.join(wrong)}")
        return frozenset(filter(None, codes.values()))

    @field_validator("eu_countries")
    @classmethod
    def _protects_somebody(cls, value: frozenset[str]) -> frozenset[str]:
        if not value:
            raise ValueError("names no country; leave it out for the EU, the EEA and the UK")
        return value

    @field_validator("cordial_extra_hosts")
    @classmethod
    def _are_hosts(cls, value: frozenset[str]) -> frozenset[str]:
        return frozenset(map(addresses.host_and_port, sorted(value)))

    @field_validator("host")
    @classmethod
    def _can_be_listened_on(cls, value: str) -> str:
        return addresses.listening_host(value)

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_proxies(cls, value: str) -> str:
        return addresses.trusted_proxies(value)

    @field_validator("public_url")
    @classmethod
    def _can_be_built_on(cls, value: str | None) -> str | None:
        return None if value is None else addresses.base_address(value, _OWN_PATHS)

    @field_validator("cordial_proxy_url", "https_proxy", "http_proxy")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr | None, about: ValidationInfo) -> SecretStr | None:
        _proxy(about.field_name or "", value)  # says what is wrong
        return value

    @field_validator("notify_url")
    @classmethod
    def _can_be_posted_to(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            addresses.web_address(value.get_secret_value(), only_https=False)
        return value

    @field_validator("retry_delays_seconds")
    @classmethod
    def _are_delays(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("names no delay; leave it out for the usual ones")
        if not all(0 <= each <= _LONGEST_DELAY for each in value):
            raise ValueError("give seconds, none of them negative or over 30 days")
        return value

    @field_validator("database_url")
    @classmethod
    def _can_be_opened(cls, value: str) -> str:
        read_address(value)  # raises, and says what is wrong
        return value

    @model_validator(mode="after")
    def _can_be_opened_through_a_pooler(self) -> Self:
        try:
            read_address(self.database_url, pooled=self.database_pooler is not None)
        except ValueError as error:
            raise ValueError(f"DATABASE_URL: {error}") from None
        return self

    @field_validator("jebbit_api_url")
    @classmethod
    def _carries_secrets_safely(cls, value: str) -> str:
        return addresses.web_address(value, only_https=True).rstrip("/")

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        level = value.upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("use DEBUG, INFO, WARNING or ERROR")
        return level

    @field_validator("secret_key")
    @classmethod
    def _keys_are_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        given = value.get_secret_value().split(",") if value else []
        keys = [key.strip() for key in given if key.strip()]
        if keys and (detail := weakness(keys[0])):
            raise ValueError(f"{detail}; {_MAKE_ONE}")
        # An older one may be easy to guess: it is on its way out.
        if any(len(key) < SHORTEST for key in keys):
            raise ValueError(f"needs at least {SHORTEST} characters; {_MAKE_ONE}")
        return value

    @field_validator("ops_token")
    @classmethod
    def _protects_something(cls, value: SecretStr | None) -> SecretStr | None:
        if value and (detail := _unfit(value.get_secret_value())):
            raise ValueError(f"{detail}; {_MAKE_ONE}")
        return value

    @field_validator("ops_tokens")
    @classmethod
    def _are_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        for each in read_tokens(value.get_secret_value() if value else ""):  # says what is wrong
            if detail := _unfit(each.secret):
                raise ValueError(f"the token of {each.name} {detail}; {_MAKE_ONE}")
        return value

    @model_validator(mode="after")
    def _are_different_tokens(self) -> Self:
        ops = self.ops_token.get_secret_value() if self.ops_token else None
        named = read_tokens(self.ops_tokens.get_secret_value() if self.ops_tokens else "")
        if any(each.secret == ops for each in named):
            raise ValueError("OPS_TOKENS holds the value of OPS_TOKEN; make another one")
        return self

    @model_validator(mode="after")
    def _a_send_fits_into_a_lease(self) -> Self:
        # Otherwise another worker could take a claim over, and send it again, while the first still
        # waits for Cordial.
        if self.lease_seconds < 2 * self.cordial_timeout_seconds:
            raise ValueError("LEASE_SECONDS must be at least twice CORDIAL_TIMEOUT_SECONDS")
        return self

    @cached_property
    def secret_keys(self) -> list[str]:
        """The keys of `SECRET_KEY`, newest first; empty if none is set."""
        given = self.secret_key.get_secret_value() if self.secret_key else ""
        return [key.strip() for key in given.split(",") if key.strip()]

    def handed_on(self) -> bytes:
        """Return them as JSON, secrets included, for `HandedOn` in a process of our own."""
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self
        }
        return to_json(plain)

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is SQLite, embedded in the process."""
        return self.database_url.startswith("sqlite")


class HandedOn(Settings):
    """Settings that another process has read and hands on: none is read here."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given."""
        return (init_settings,)


def traces_exporter() -> str | None:
    """Return the exporter that OpenTelemetry's variables ask for: `otlp`, `console` or None.

    Only the environment counts, not `.env`: the SDK reads its other variables there.
    """
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or chosen == "none" or not (chosen or any(map(os.environ.get, endpoints))):
        return None
    return "console" if chosen == "console" else "otlp"


def read_settings() -> Settings:
    """Read the settings.

    Raises:
        BadSettings: some cannot be used.
    """
    try:
        settings = Settings()
        if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
            httpx.create_ssl_context()  # the same as the connections will use
        return settings
    except SSLError:
        raise BadSettings("SSL_CERT_FILE: holds no certificates in PEM form") from None
    except ValidationError as error:
        raise BadSettings("\n".join(_lines(error))) from None
    except UnicodeDecodeError:
        raise BadSettings(".env: is not UTF-8 text; save it as that") from None
    except OSError as error:
        name = ".env" if error.filename == ".env" else "SSL_CERT_FILE"
        raise BadSettings(f"{name}: cannot be read: {error.strerror}") from None


def misspelt() -> list[str]:
    """Return a line for each variable that is no setting, but nearly: else nobody would notice."""
    known = {name.upper() for name in Settings.model_fields}
    known |= {f"{name.upper()}_FILE" for name in _IN_FILES}
    lines = []
    for name in sorted({*os.environ, *dotenv_values(".env", encoding="utf-8-sig")} - known):
        near = get_close_matches(name.upper(), known, 1, _NEARLY)
        if near and name.upper() not in known and len(name) >= _SHORTEST_NEARLY:
            lines.append(f"{name} is no setting and changes nothing; {near[0]} is one")
    return lines


_NEARLY = 0.88  # RETENTON_DAYS; not WORKER_SERVICE_PORT
_SHORTEST_NEARLY = 8  # shorter names are too near to each other
_TO_WRITE = {
    "bool_parsing": "write true or false",
    "int_parsing": "write a whole number",
    "float_parsing": "write a number",
    "finite_number": "write a number",
    "literal_error": "write {expected}",
    "greater_than": "write a number over {gt:g}",
    "greater_than_equal": "write a number from {ge:g} on",
    "less_than_equal": "write a number up to {le:g}",
}


def _lines(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_input=False, include_url=False):
        said = each["msg"].removeprefix("Value error, ")
        if each["type"] in _TO_WRITE:
            said = _TO_WRITE[each["type"]].format(**each.get("ctx", {}))
        yield f"{str(each['loc'][0]).upper()}: {said}" if each["loc"] else said


def _proxy(name: str, value: SecretStr | None) -> Proxy | None:
    return None if value is None else Proxy.read(name, value.get_secret_value())


def _unfit(token: str) -> str | None:
    """Return what is wrong with a token: a header cannot carry it, or it protects nothing."""
    if not re.fullmatch(r"[!-~]+", token) or re.search("[\"'`]", token):
        return "holds a space, a quote or a sign that is not ASCII"
    return weakness(token)


class MissingSecret(Exception):
    """A secret is missing that only the person who deploys can set."""


_MAKE_ONE = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets in use, and the files of those that we made ourselves."""

    secret_keys: list[str]
    ops_token: str
    ops_tokens: Sequence[Token]  # of every caller, OPS_TOKEN's among them
    kept_in: dict[str, Path]


def load_secrets(settings: Settings) -> Secrets:
    """Return the secrets; with SQLite, make missing ones once and keep them in `DATA_DIR`.

    Raises:
        MissingSecret: with PostgreSQL one is not set, since all replicas need the same; or the
            file that keeps one is empty.
    """
    token = settings.ops_token.get_secret_value() if settings.ops_token else ""
    missing = [
        name
        for name, given in (("SECRET_KEY", settings.secret_keys), ("OPS_TOKEN", token))
        if not given
    ]
    if missing and not settings.is_sqlite:
        raise MissingSecret(f"Set {' and '.join(missing)}, the same on every replica; {_MAKE_ONE}")
    kept = {name: settings.data_dir / name.lower() for name in missing}
    try:
        made = {name: _kept(path) for name, path in kept.items()}
    except OSError as error:
        where = settings.data_dir.resolve()
        raise MissingSecret(f"DATA_DIR: {where} cannot be used: {error.strerror}") from None
    token = token or made["OPS_TOKEN"]
    named = read_tokens(settings.ops_tokens.get_secret_value() if settings.ops_tokens else "")
    tokens = [Token(OPS, Role.ADMIN, token), *named]
    return Secrets(settings.secret_keys or [made["SECRET_KEY"]], token, tokens, kept)


def _kept(path: Path) -> str:
    """Return the secret in a file that only we may read; make the file if there is none.

    The secret is written under another name and then linked: of several processes that start at
    once, all read the same whole secret.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    kept = path.read_text().strip()
    if not kept:
        raise MissingSecret(f"{path} is empty; put the secret back, or delete it to have one made")
    return kept
