"""Settings: the only reader of the environment."""

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.delivery.schedule import DELAYS
from app.ledger.database import async_url
from app.operations.callers import OPS, Role, Token, read_tokens
from app.operations.strength import SHORTEST, weakness
from app.rules.jurisdictions import EU_COUNTRIES, EXPRESS_CONSENT_COUNTRIES, Jurisdictions
from app.telemetry.logs import LogFormat

_HOST_PORT = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\]):[0-9]{1,5}")


class Settings(BaseSettings):
    """The settings, from the environment and `.env`; each has a line in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,  # `NAME=` counts as not set
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: str = "sqlite:///data/ledger.db"
    secret_key: SecretStr | None = None
    ops_token: SecretStr | None = None
    ops_tokens: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    public_url: str | None = None
    console: bool = True
    run_worker: bool = True
    worker_port: int | None = Field(None, ge=0, le=65535)
    delivery_concurrency: int = Field(50, ge=1)
    retry_delays_seconds: Annotated[tuple[float, ...], NoDecode] = DELAYS
    lease_seconds: float = Field(60.0, ge=1)
    webhook_max_bytes: int = Field(1024 * 1024, ge=1024)
    webhook_tolerance_seconds: float = Field(300.0, gt=0)
    cordial_extra_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    cordial_timeout_seconds: float = Field(10.0, gt=0)
    jebbit_api_url: str = "https://api2.jebbit.com"
    retention_days: float = Field(30.0, ge=0)
    skipped_retention_days: float = Field(7.0, ge=0)
    eu_countries: Annotated[frozenset[str], NoDecode] = EU_COUNTRIES
    express_consent_countries: Annotated[frozenset[str], NoDecode] = EXPRESS_CONSENT_COUNTRIES
    notify_url: SecretStr | None = None
    log_format: LogFormat = "console"
    log_level: str = "INFO"
    data_dir: Path = Path("data")

    @property
    def jurisdictions(self) -> Jurisdictions:
        """Whose people which rules protect."""
        return Jurisdictions(self.eu_countries, self.express_consent_countries)

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
        codes = frozenset(each.upper() for each in value)
        if wrong := sorted(code for code in codes if len(code) != 2 or not code.isalpha()):
            raise ValueError(f"not ISO 3166 alpha-2: {', '.join(wrong)}")
        return codes

    @field_validator("cordial_extra_hosts")
    @classmethod
    def _are_hosts(cls, value: frozenset[str]) -> frozenset[str]:
        hosts = frozenset(each.lower() for each in value)
        if wrong := sorted(each for each in hosts if not _HOST_PORT.fullmatch(each)):
            raise ValueError(f"write host:port, not {', '.join(wrong)}")
        return hosts

    @field_validator("retry_delays_seconds")
    @classmethod
    def _are_delays(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= each < float("inf") for each in value):
            raise ValueError("give seconds, none of them negative")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_one_of_two(cls, value: str) -> str:
        async_url(value)  # raises, and says what is wrong
        return value

    @field_validator("jebbit_api_url")
    @classmethod
    def _carries_secrets_safely(cls, value: str) -> str:
        url = urlsplit(value)
        local = url.hostname in ("localhost", "127.0.0.1", "::1")
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and local)):
            raise ValueError("give an https:// address; http:// only for a stand-in on localhost")
        return value.rstrip("/")

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
        if value and (detail := weakness(value.get_secret_value())):
            raise ValueError(f"{detail}; {_MAKE_ONE}")
        return value

    @field_validator("ops_tokens")
    @classmethod
    def _are_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        for each in read_tokens(value.get_secret_value() if value else ""):  # says what is wrong
            if detail := weakness(each.secret):
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

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is SQLite, embedded in the process."""
        return self.database_url.startswith("sqlite")


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
    made = {name: _kept(path) for name, path in kept.items()}
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
