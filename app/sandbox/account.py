"""What an administrator has set up in Cordial before the first contact arrives."""

from datetime import UTC, tzinfo
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, JsonValue, field_validator

Json: TypeAlias = dict[str, JsonValue]
Permission: TypeAlias = Literal[
    "GET contacts",
    "POST contacts",
    "PUT contacts",
    "DELETE contacts",
    "PUT contacts/unsubscribe",
    "GET accountcontactattributes",
    "POST accountcontactattributes",
    "PUT accountcontactattributes",
    "DELETE accountcontactattributes",
    "GET accountlists",
    "POST accountlists",
]


class Fixture(BaseModel):
    """Base of what a person may write down: a misspelt key is refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Validators(Fixture):
    """Limits of an attribute: characters of a string or array item, value of a number. S."""

    min: int | float | None = None
    max: int | float | None = None
    required: bool = False
    maxitems: Annotated[int, Field(ge=1)] = 25


class Attribute(Fixture):
    """A contact attribute of the account. There is no boolean type: that is list membership. S."""

    type: Literal["string", "number", "date", "geo", "array"]
    name: str = ""
    index: bool = False
    validators: Validators = Validators()


class Account(Fixture):
    """What an administrator has set up in Cordial before the first contact arrives.

    `sms_channels` maps channel to program to keywords, `api_keys` maps a key to its permissions
    (None: all), `rate_limit` is the number of calls per `rate_window_seconds` and endpoint.
    """

    attributes: dict[str, Attribute] = {}
    lists: list[str] = []
    email_channels: list[str] = ["email"]
    sms_channels: dict[str, dict[str, list[str]]] = {"sms": {"main": ["join"]}}
    api_keys: dict[str, list[Permission] | None] = {"sandbox-key": None}
    allowed_ips: list[IPvAnyNetwork] | None = None
    timezone: str = "UTC"
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    rate_window_seconds: Annotated[int, Field(ge=1)] = 1

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone_of(name)
        except (KeyError, ValueError, OSError) as unknown:
            raise ValueError(f"no time zone named {name!r}") from unknown
        return name


def default_account() -> Account:
    """The account the demo sends to."""
    strings = ("first_name", "last_name", "quiz_outcome", "signup_source", "opt_in_status")
    return Account(
        attributes={
            **{key: Attribute(type="string") for key in strings},
            "comment": Attribute(type="string", validators=Validators(max=128)),
            "colors": Attribute(type="array"),
            "age": Attribute(type="number"),
            "score": Attribute(type="number"),
            "quiz_date": Attribute(type="date"),
            "home": Attribute(type="geo"),
        },
        lists=["weekly_deals", "vip"],
    )


def zone_of(name: str) -> tzinfo:
    """The account's zone. UTC needs no zone files, so a bare machine can run the demo."""
    return UTC if name == "UTC" else ZoneInfo(name)
