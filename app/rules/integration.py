"""An integration: one Jebbit webhook source, one Cordial account, a mapping and a policy."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import AfterValidator

from app.jebbit.folding import fold, fold_label
from app.rules.mapping import FieldMapping, Rule, check_field
from app.rules.values import Labels

OptInRule = Literal["opted_in_only", "opted_in_or_null", "everyone"]
Resubscribe = Literal["never", "explicit_opt_in"]
OnOptOut = Literal["leave", "unsubscribe"]
JebbitRegion = Literal["us", "eu"]


class _Strict(BaseModel):
    """A part of the configuration, with what follows from it worked out once, not per submission.

    That is what the cached properties of these models are for.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _read_whole(cls, value: object) -> object:
        """Read half of a surrogate pair (an emoji cut by a length limit) as webhooks are read.

        It has no UTF-8 form: no answer could hold it. Texts with a least length are refused for it.
        """
        if isinstance(value, list):
            return [_whole(each) for each in value]
        return _whole(value)

    def __copy__(self) -> Self:
        # `model_copy(update=...)` starts from here: what followed from old values must not stay.
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


def _whole(value: object) -> object:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="replace").decode()


MASK = "****"  # what a secret is shown with, before its last characters


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or text != text.strip() or not text.isascii():
        raise ValueError("must be plain ASCII, not empty, without spaces around it")
    if text.startswith(MASK):
        raise ValueError("this is how a secret is shown, not the secret itself")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]


class Sms(_Strict):
    """The SMS channel of a Cordial account. Its programs and keywords cannot be read by REST."""

    channel: str = Field("sms", min_length=1)
    program: str | None = Field(
        None, min_length=1, description="Without it nobody is subscribed to SMS."
    )
    keyword: str | None = Field("join", min_length=1, description="The program's join keyword.")
    suppress_doi: bool = Field(
        False,
        description="false: Cordial asks by text whether the person means it (double opt-in).",
    )
    address_format: Literal["digits", "e164"] = "digits"


class CordialAccount(_Strict):
    """Where contacts go, and with which key."""

    account_url: str = Field(min_length=1, description="As in the browser when logged in.")
    api_key: Secret = Field(description="Write-only; shown as its last four characters.")
    email_channel: str = Field("email", min_length=1)
    sms: Sms | None = None
    identify_by: list[str] = Field(default=[], description="Secondary keys to find a contact by.")
    suppress_triggers: bool = Field(
        True, description="false: Cordial's attribute-change automations fire."
    )
    requests_per_second: float | None = Field(None, gt=0, allow_inf_nan=False)
    on_rejected_field: Literal["drop", "dead"] = "drop"


class Campaigns(_Strict):
    """Which campaigns count, by id or name; case does not matter."""

    include: list[str] = []
    exclude: list[str] = []

    @cached_property
    def included(self) -> frozenset[str]:
        """Those to include, as they are compared."""
        return frozenset(map(fold_label, self.include))

    @cached_property
    def excluded(self) -> frozenset[str]:
        """Those to exclude, as they are compared."""
        return frozenset(map(fold_label, self.exclude))


class AttributeNames(_Strict):
    """Where the submission keeps what the policy asks for; null where it has no such attribute."""

    opt_in: str | None = "opt_in"
    sms_opt_in: str | None = None
    country: str | None = "country_code"
    region: str | None = "aws_region"
    session: str | None = "user_session_id"
    occurred_at: str | None = "experience_date"
    campaign_id: str | None = "campaign_id"
    campaign_name: str | None = "campaign_name"


class OptInLabels(_Strict):
    """The customer's own words for yes and no, such as the label of the box."""

    true: list[str] = []
    false: list[str] = []

    @model_validator(mode="after")
    def _each_means_one_thing(self) -> Self:
        both = {fold_label(each) for each in self.true} & {fold_label(each) for each in self.false}
        if both:
            raise ValueError(f"{sorted(both)} cannot mean both true and false")
        return self

    @cached_property
    def labels(self) -> Labels:
        """The labels as answers are compared with them; a blank one makes no yes of silence."""
        yes, no = (frozenset(map(fold_label, each)) for each in (self.true, self.false))
        return Labels(yes - {""}, no)


MOST_SECRETS = 8  # for webhooks, of an integration: each body is digested once for each


class JebbitSource(_Strict):
    """What arrives and how it is read."""

    webhook_secrets: list[Secret] = Field(
        default=[],
        max_length=MOST_SECRETS,
        description=f"Jebbit's shared secrets; up to {MOST_SECRETS} while they rotate. Without one "
        "every webhook is answered 401. Write-only.",
    )
    region: JebbitRegion | None = Field(
        "us", description="Where people are from if nothing else says; null: unknown."
    )
    campaigns: Campaigns = Campaigns()
    attributes: AttributeNames = AttributeNames()
    opt_in_labels: OptInLabels = OptInLabels()
    trusted_url_params: list[str] = Field(
        default=[], description="URL parameters that may say who somebody is and what they want."
    )
    default_phone_country: str = Field(
        "US", description="ISO 3166 alpha-2; whose national form a phone number without + has."
    )

    @field_validator("default_phone_country")
    @classmethod
    def _has_phone_numbers(cls, country: str) -> str:
        if country not in SUPPORTED_REGIONS:
            raise ValueError("give a country as ISO 3166 alpha-2 in capitals, such as US or GB")
        return country

    @cached_property
    def trusted_keys(self) -> frozenset[str]:
        """The folded names of the URL parameters that are believed."""
        return frozenset(map(fold, self.trusted_url_params))

    @cached_property
    def opt_in_names(self) -> Sequence[str]:
        """The names of the opt-ins, of each channel that has one."""
        return tuple(filter(None, (self.attributes.opt_in, self.attributes.sms_opt_in)))


class Terms(NamedTuple):
    """The part of a policy that can differ between EU people and others, as it holds for one."""

    opt_in: OptInRule
    auto_subscribe: bool
    resubscribe: Resubscribe
    on_opt_out: OnOptOut
    null_is_consent: bool


class EuPolicy(_Strict):
    """What differs for EU people, and those whose region is unknown; what is null stays."""

    opt_in: OptInRule | None = None
    auto_subscribe: bool | None = None
    resubscribe: Resubscribe | None = None
    on_opt_out: OnOptOut | None = None
    null_is_consent: bool = Field(
        False, description="Take a null opt-in as a yes. Only the customer can know that it is."
    )


class Policy(_Strict):
    """Whom to send, whom to subscribe."""

    collect: Literal["both", "eu", "non_eu"]
    opt_in: OptInRule
    auto_subscribe: bool
    opt_in_field: str | None = Field(
        None, min_length=1, description="Field that gets yes, no, null or unclear on every send."
    )
    resubscribe: Resubscribe = "never"
    on_opt_out: OnOptOut = "leave"
    opt_in_guard: bool = Field(
        True,
        description="Subscribe nobody by silence where the source stopped sending the opt-in.",
    )
    eu: EuPolicy | None = None

    @field_validator("opt_in_field")
    @classmethod
    def _opt_in_field_is_ordinary(cls, field: str | None) -> str | None:
        if field is not None:
            check_field(field, "string")
        return field

    @model_validator(mode="after")
    def _everyone_carries_the_status(self) -> Self:
        rules = (self.opt_in, self.eu.opt_in if self.eu else None)
        if "everyone" in rules and self.opt_in_field is None:
            raise ValueError(
                'opt_in "everyone" needs opt_in_field, the Cordial field that gets the status'
            )
        return self

    @cached_property
    def terms(self) -> Terms:
        """The terms for people known to be elsewhere than in the EU: the policy's own."""
        return self._overridden_by(EuPolicy())

    @cached_property
    def eu_terms(self) -> Terms:
        """The terms for everybody else: the policy's own, with what `eu` overrides."""
        return self._overridden_by(self.eu or EuPolicy())

    def _overridden_by(self, eu: EuPolicy) -> Terms:
        return Terms(
            opt_in=eu.opt_in or self.opt_in,
            auto_subscribe=self.auto_subscribe if eu.auto_subscribe is None else eu.auto_subscribe,
            resubscribe=eu.resubscribe or self.resubscribe,
            on_opt_out=eu.on_opt_out or self.on_opt_out,
            null_is_consent=eu.null_is_consent,
        )


LONGEST_NAME = 100  # characters, of an integration's name and of its id


class Integration(_Strict):
    """A named integration, as a customer configures it."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    cordial: CordialAccount
    jebbit: JebbitSource = JebbitSource()
    mapping: list[Rule] = Field(
        default=[Rule(attribute="email", field="channels.email.address")], min_length=1
    )
    unmapped: Literal["ignore", "known"] = "ignore"
    policy: Policy

    @model_validator(mode="after")
    def _has_a_slug(self) -> Self:
        if not slug(self.name):
            raise ValueError("name needs at least one letter a-z or digit, for the address")
        return self

    @field_validator("mapping")
    @classmethod
    def _fields_are_filled_once(cls, mapping: list[Rule]) -> list[Rule]:
        fields = Counter(rule.field for rule in mapping)
        if repeated := sorted(field for field, count in fields.items() if count > 1):
            raise ValueError(f"two rules for one field: {', '.join(repeated)}")
        geo = {rule.field.partition(".")[0] for rule in mapping if rule.type == "geo"}
        if mixed := sorted(geo & fields.keys()):
            raise ValueError(f"both a geo attribute and an ordinary field: {', '.join(mixed)}")
        return mapping

    @model_validator(mode="after")
    def _opt_in_field_is_free(self) -> Self:
        field = self.policy.opt_in_field
        if field in {rule.field.partition(".")[0] for rule in self.mapping}:
            raise ValueError(f"policy.opt_in_field and the mapping both fill {field}")
        return self

    @model_validator(mode="after")
    def _names_an_address(self) -> Self:
        email, sms = self.cordial.email_channel, self.sms.channel
        if email == sms:
            raise ValueError("cordial.email_channel and cordial.sms.channel must differ")
        channels = [rule.channel for rule in self.mapping if rule.channel is not None]
        if unknown := sorted(set(channels) - {email, sms}):
            raise ValueError(
                f"no such channel: {', '.join(unknown)}; cordial.email_channel and "
                f"cordial.sms.channel name {email}, {sms}"
            )
        if not channels:
            raise ValueError(
                "the mapping names no address; add a rule for "
                f"channels.{email}.address or channels.{sms}.address"
            )
        return self

    @cached_property
    def sms(self) -> Sms:
        """The SMS channel; without one configured, its defaults, which subscribe nobody."""
        return self.cordial.sms or Sms()

    @cached_property
    def fields(self) -> FieldMapping:
        """The rules of the mapping that fill fields, ready to be applied."""
        labels = self.jebbit.opt_in_labels.labels
        return FieldMapping(self.mapping, labels, filter(None, [self.policy.opt_in_field]))

    @cached_property
    def email_attribute(self) -> str | None:
        """The attribute that holds the email address; None where no rule names it."""
        return self._address_attribute(self.cordial.email_channel)

    @cached_property
    def phone_attribute(self) -> str | None:
        """The attribute that holds the phone number; None where no rule names it."""
        return self._address_attribute(self.sms.channel)

    def _address_attribute(self, channel: str) -> str | None:
        named = (rule.attribute for rule in self.mapping if rule.channel == channel)
        return next(named, None)


def slug(name: str) -> str:
    """Return the id an integration of this name gets: `Spring quiz` becomes `spring-quiz`.

    No longer than a name may be, though some letters become several: `™` becomes `tm`.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].rstrip("-")


def merge_patch(
    document: Mapping[str, JsonValue],
    patch: Mapping[str, JsonValue],
    model: type[BaseModel] = Integration,
) -> dict[str, JsonValue]:
    """Return `document` changed by a JSON merge patch (RFC 7396).

    A null removes the member, so that its default holds again; only where null is itself a choice
    (`jebbit.region`, `jebbit.attributes.*` ...) it is kept as the value.
    """
    merged = dict(document)
    for key, value in patch.items():
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(value, Mapping):
            before = merged.get(key)
            base = before if isinstance(before, Mapping) else {}
            merged[key] = merge_patch(base, value, _model_in(annotation))
        elif value is not None or type(None) in get_args(annotation):
            merged[key] = value
        else:
            merged.pop(key, None)
    return merged


def _model_in(annotation: Any) -> type[BaseModel]:
    """Return the model an annotation such as `Sms | None` names; a bare one where it names none."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return BaseModel
