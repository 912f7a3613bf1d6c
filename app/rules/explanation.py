"""A plan as ordered steps in plain words, for a person who asks why.

Each step's result is the plan's own: nothing is decided here. What is read again is only shown.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from app.jebbit.submission import Submission
from app.rules.integration import Integration, Terms
from app.rules.mapping import MappedField
from app.rules.plan import Evidence, Plan, Skip, Upsert, would_map
from app.rules.policy import (
    OptInReading,
    RegionReading,
    SkipReason,
    Status,
    country_of,
    is_believed,
    terms,
)
from app.rules.values import Answer, FieldType

Subject = Literal[
    "session",
    "contact",
    "region",
    "opt_in",
    "sms_opt_in",
    "audience",
    "order",
    "email",
    "sms",
    "force",
    "fields",
    "result",
]
"""What a step is about."""

_LONGEST: Final = 120  # characters of a value in a sentence


class Read(NamedTuple):
    """One attribute that a step looked at.

    `attribute` is its name in the configuration, `key` its spelling in the submission; None: the
    submission has no such attribute, which is not the same as one that is null. `why` says why the
    value is not believed.
    """

    attribute: str
    key: str | None = None
    value: JsonValue = None
    believed: bool = True
    why: str | None = None


class Step(NamedTuple):
    """One step of a decision.

    `place` names what decided in the configuration, `result` is one word for a program, `sentence`
    the same for a person. `stops`: here it was skipped, so it is the last step.
    """

    subject: Subject
    place: str | None
    read: Sequence[Read]
    result: str
    sentence: str
    stops: bool = False


class Explained(NamedTuple):
    """The steps of a plan; and of a skip, what would have been mapped."""

    steps: Sequence[Step]
    would_map: Sequence[MappedField] = ()


def explain_plan(
    made: Plan,
    submission: Submission,
    integration: Integration,
    account_attributes: Mapping[str, FieldType] | None = None,
) -> Explained:
    """Return how a plan came about.

    Args:
        made: the plan, as delivery or a preview made it.
        submission: what it was made of.
        integration: the integration it was made by.
        account_attributes: as they were given to `plan`.
    """
    steps = list(_Explaining(made, submission, integration).steps())
    if isinstance(made, Upsert):
        return Explained(steps)
    mapped = would_map(submission, integration, made.evidence, account_attributes)
    return Explained(steps, mapped.steps)


class _Explaining:
    """One plan that is being explained."""

    def __init__(self, made: Plan, submission: Submission, integration: Integration) -> None:
        self._made = made
        self._submission = submission
        self._integration = integration
        self._evidence: Evidence = made.evidence
        self._skip = made.reason if isinstance(made, Skip) else None

    @property
    def _terms(self) -> Terms:
        return terms(self._integration.policy, self._evidence.region.region)

    def steps(self) -> Iterator[Step]:
        """Yield the steps in the order in which they count."""
        for step in self._all():
            yield step
            if step.stops:
                return

    def _all(self) -> Iterator[Step]:
        yield self._session()
        yield self._contact()
        yield self._region()
        yield self._answer("opt_in", self._evidence.opt_in)
        if self._integration.jebbit.attributes.sms_opt_in:
            yield self._answer("sms_opt_in", self._evidence.sms_opt_in)
        yield self._audience()
        if self._evidence.circumstances.stale:
            yield self._order()
        yield from self._statuses()
        yield self._fields()
        yield Step("result", None, (), "sent", "The contact is sent to Cordial.")

    def _session(self) -> Step:
        """Say whether the session counts: its campaign, and that it is a real one."""
        names = self._integration.jebbit.attributes
        if self._skip is not None and self._skip in _SESSION:
            place, looked_at, words = _SESSION[self._skip]
            named = looked_at or tuple(filter(None, (names.campaign_id, names.campaign_name)))
            read = self._read(*named)
            said = f"Nothing is sent: {words}{_as_read(read)}."
            return Step("session", place, read, self._skip.value, said, stops=True)
        campaigns = self._integration.jebbit.campaigns
        if campaigns.include or campaigns.exclude:
            read = self._read(*filter(None, (names.campaign_id, names.campaign_name)))
            said = "The campaign is one of those that count, and the session is a real one."
            return Step("session", "jebbit.campaigns", read, "counts", said)
        read = self._read("is_completed", "is_valid")
        said = "The session counts: nothing says that it is incomplete or not valid."
        return Step("session", None, [each for each in read if each.key], "counts", said)

    def _contact(self) -> Step:
        """Say who the contact is."""
        integration, identity = self._integration, self._evidence.identity
        names = filter(None, (integration.email_attribute, integration.phone_attribute))
        read = self._read(*names)
        if self._skip is SkipReason.UNTRUSTED_IDENTITY:
            said = (
                "Nothing is sent: the address may come from the page's URL, which anyone can write "
                f"({identity.doubt})."
            )
            place = "jebbit.trusted_url_params"
            return Step("contact", place, read, self._skip.value, said, stops=True)
        if self._skip is SkipReason.NO_IDENTITY:
            said = f"Nothing is sent: no address can be used{_as_read(read)}."
            return Step("contact", "mapping", read, self._skip.value, said, stops=True)
        kinds = [
            kind
            for kind, address in (("email", identity.email), ("phone", identity.phone))
            if address
        ]
        said = f"The contact is known by {' and '.join(kinds)}{_as_read(read)}."
        for each in identity.warnings:
            said += f" {each.detail}"
        return Step("contact", "mapping", read, "_and_".join(kinds), said)

    def _region(self) -> Step:
        reading, policy = self._evidence.region, self._integration.policy
        names = self._integration.jebbit.attributes
        read = self._read(*filter(None, (names.country, names.region)))
        said = _region_in_words(reading, read, names.region)
        if reading.region.strict:
            said += f" EU rules hold: {'policy.eu' if policy.eu else 'policy'}."
        if self._skip in (SkipReason.REGION_NOT_COLLECTED, SkipReason.REGION_UNKNOWN):
            said = f"{said} Nothing is sent: policy.collect is {policy.collect}."
            return Step("region", "policy.collect", read, self._skip.value, said, stops=True)
        return Step("region", _PLACES[reading.decided_by], read, reading.region.value, said)

    def _answer(self, place: Literal["opt_in", "sms_opt_in"], reading: OptInReading) -> Step:
        name = getattr(self._integration.jebbit.attributes, place)
        title = _TITLES[place]
        read = [*self._read(name)] if name else []
        if reading.alike:
            read.append(
                Read(
                    name or str(reading.attribute),
                    reading.attribute,
                    reading.value,
                    False,
                    "its key is another",
                )
            )
        said = f"{title}: {_answer_in_words(reading, name, read)}"
        result = reading.answer.value if reading.trusted else "not_believed"
        return Step(place, f"jebbit.attributes.{place}", read, result, said)

    def _audience(self) -> Step:
        """Say whether a person with this answer is sent."""
        rule, answer = self._terms.opt_in, self._evidence.opt_in.answer
        place = self._place("opt_in")
        if self._skip in _AUDIENCE:
            said = f"Nothing is sent: {place} is {rule}, and the answer is {_WORDS[answer]}."
            return Step("audience", place, (), self._skip.value, said, stops=True)
        said = f"People with this answer ({_WORDS[answer]}) are sent: {place} is {rule}."
        return Step("audience", place, (), "sent", said)

    def _order(self) -> Step:
        name = self._integration.jebbit.attributes.occurred_at
        read = self._read(name) if name else ()
        place = "jebbit.attributes.occurred_at"
        newer = "Newer answers of this contact were delivered already"
        if self._skip is SkipReason.STALE:
            said = f"Nothing is sent: {newer[0].lower()}{newer[1:]}, which must not be overwritten."
            return Step("order", place, read, self._skip.value, said, stops=True)
        return Step("order", place, read, "only_no", f"{newer}: of this one only the no is sent.")

    def _statuses(self) -> Iterator[Step]:
        statuses, identity = self._evidence.statuses, self._evidence.identity
        if identity.email:
            place, why = self._why("email", statuses.email)
            said = _status("Email", statuses.email, why)
            yield Step("email", place, (), _asked(statuses.email), said)
        if identity.phone:
            place, why = self._why("sms", statuses.sms)
            said = _status("SMS", statuses.sms, why)
            yield Step("sms", place, (), _asked(statuses.sms), said)
        if Status.SUBSCRIBED in (statuses.email, statuses.sms):
            yield self._force()

    def _force(self) -> Step:
        place, rule = self._place("resubscribe"), self._terms.resubscribe
        if self._evidence.statuses.force:
            said = f"Also over an earlier unsubscribe: {place} is {rule} and the yes is fresh."
            return Step("force", place, (), "forced", said)
        because = f"{place} is {rule}"
        if rule != "never":
            again = self._evidence.circumstances.delivered_before
            because = (
                "it was delivered before" if again else "that needs a yes of the last 24 hours"
            )
        said = f"An earlier unsubscribe in Cordial stays: {because}."
        return Step("force", place, (), "not_forced", said)

    def _why(self, channel: Literal["email", "sms"], status: Status | None) -> tuple[str, str]:
        """Return the place that decided a channel's status, and why it is so."""
        evidence, held = self._evidence, self._terms
        reading = evidence.opt_in if channel == "email" else evidence.sms_opt_in
        attribute = "opt_in" if channel == "email" else "sms_opt_in"
        asked, subscribes = f"jebbit.attributes.{attribute}", self._place("auto_subscribe")
        if channel == "sms" and not self._integration.sms.program:
            return "cordial.sms.program", "the integration names no SMS program"
        if channel == "sms" and not self._integration.jebbit.attributes.sms_opt_in:
            return asked, "the integration names no SMS opt-in"
        if status is Status.UNSUBSCRIBED:
            return self._place("on_opt_out"), "the answer is no"
        if status is Status.SUBSCRIBED:
            if reading.answer is Answer.YES:
                return subscribes, "the answer is yes"
            if evidence.region.silence_may_consent:
                return subscribes, "nobody was asked, and no EU rules hold"
            return "policy.eu.null_is_consent", "no answer counts as a yes there"
        if not reading.trusted:
            return "jebbit.trusted_url_params", "the answer may come from the page's URL"
        if reading.answer is Answer.UNCLEAR:
            return "jebbit.opt_in_labels", "the answer is neither yes nor no"
        if reading.answer is Answer.NO:
            place = self._place("on_opt_out")
            return place, f"the answer is no, and {place} is {held.on_opt_out}"
        if not held.auto_subscribe:
            return subscribes, f"{subscribes} is false"
        if evidence.circumstances.stale:
            return "jebbit.attributes.occurred_at", "newer answers were delivered already"
        if reading.answer is Answer.YES:
            if channel == "sms" and self._takes_no_sms:
                return "mapping", "the number is of a kind that gets no texts"
            return asked, "the person said no later, or at the same time"
        if channel == "sms":
            return asked, "there is no answer, and SMS needs a spoken yes"
        if evidence.circumstances.opt_in_missing:
            return (
                "policy.opt_in_guard",
                "the source stopped sending the opt-in, so silence is none",
            )
        if evidence.region.express:
            return "jebbit.attributes.country", "there is no answer, and that country needs a yes"
        if evidence.region.doubtful:
            return "jebbit.attributes.country", "there is no answer, and the country is in doubt"
        if evidence.region.region.strict and not held.null_is_consent:
            return "policy.eu.null_is_consent", "there is no answer, and EU rules need a yes"
        return asked, "the person said no before, and silence does not overrule that"

    @property
    def _takes_no_sms(self) -> bool:
        made = self._made
        codes = {each.code for each in made.warnings} if isinstance(made, Upsert) else set()
        return "phone_takes_no_sms" in codes

    def _fields(self) -> Step:
        sent = [each for each in self._evidence.mapped if each.value is not None]
        if self._evidence.mapping is None:
            said = "No field is sent with the no."
        else:
            names = ", ".join(each.field for each in sent)
            said = f"{len(sent)} of {len(self._evidence.mapped)} fields are sent"
            said += f": {names}." if names else "."
        read = [
            Read(each.attribute, each.attribute, each.source) for each in sent if each.attribute
        ]
        return Step("fields", "mapping", read, str(len(sent)), said)

    def _place(self, term: str) -> str:
        """Return where the policy says what holds of a term: in `policy.eu` where that names it."""
        eu = self._integration.policy.eu
        named = eu is not None and getattr(eu, term) is not None
        strict = self._evidence.region.region.strict
        return f"policy.eu.{term}" if strict and named else f"policy.{term}"

    def _read(self, *names: str) -> Sequence[Read]:
        """Return each spelling of these names in the submission; an absent one has no key."""
        source = self._integration.jebbit
        found: list[Read] = []
        for name in names:
            several = self._submission.find_all(name)
            if not several:
                found.append(Read(name))
            for each in several:
                believed = is_believed(each, source)
                why = None if believed else f"it may come from the page's URL ({each.doubt})"
                found.append(Read(name, each.key, each.value, believed, why))
        return found


_PLACES: Final = {
    "country": "jebbit.attributes.country",
    "region": "jebbit.attributes.region",
    "integration": "jebbit.region",
    "nothing": "jebbit.region",
}
_TITLES: Final = {"opt_in": "Email opt-in", "sms_opt_in": "SMS opt-in"}
_WORDS: Final = {
    Answer.YES: "yes",
    Answer.NO: "no",
    Answer.NULL: "none",
    Answer.UNCLEAR: "neither yes nor no",
}
_CAMPAIGN: Final = ()  # the attributes that name it are configured
_SESSION: Final[Mapping[SkipReason, tuple[str | None, tuple[str, ...], str]]] = {
    SkipReason.CAMPAIGN_EXCLUDED: (
        "jebbit.campaigns.exclude",
        _CAMPAIGN,
        "the campaign is one that is excluded",
    ),
    SkipReason.CAMPAIGN_NOT_INCLUDED: (
        "jebbit.campaigns.include",
        _CAMPAIGN,
        "the campaign is none of those that are included",
    ),
    SkipReason.CAMPAIGN_UNKNOWN: (
        "jebbit.campaigns",
        _CAMPAIGN,
        "it is not known which campaign it belongs to",
    ),
    SkipReason.NOT_COMPLETED: (None, ("is_completed",), "the session was not completed"),
    SkipReason.NOT_VALID: (None, ("is_valid",), "the session is not valid"),
}
_AUDIENCE: Final = (
    SkipReason.NOT_OPTED_IN,
    SkipReason.OPTED_OUT,
    SkipReason.OPT_IN_UNCLEAR,
)
_REGIONS: Final = {"eu": "EU", "non_eu": "outside the EU", "unknown": "unknown"}


def _region_in_words(reading: RegionReading, read: Sequence[Read], region_name: str | None) -> str:
    where = _REGIONS[reading.region.value]
    match reading.decided_by:
        case "nothing":
            said = f"Region: {where}, because nothing says where the person is."
        case "integration":
            said = f"Region: {where}, because the integration says so and the submission does not."
        case "country":
            named = (each.key for each in read if country_of(each.value) == reading.value)
            key = next(named, reading.attribute)
            said = f"Region: {where}, because {key} is {shown(reading.value)}."
        case "region":
            said = f"Region: {where}, because {reading.attribute} is {shown(reading.value)}."
    if reading.express:
        said += " No silence is taken for consent there."
    if reading.doubtful:
        said += (
            " A country or region is named that is not believed, not understood, or under a key "
            "that was not agreed on, so no silence is taken for consent."
        )
    return said


def _answer_in_words(reading: OptInReading, name: str | None, read: Sequence[Read]) -> str:
    key = reading.attribute
    if not name and not reading.alike:
        return "not asked, because the integration names no attribute for it."
    if not reading.trusted:
        return f"not believed, because {key} may come from the page's URL ({reading.doubt})."
    if reading.alike:
        unnamed = "The integration names no attribute for it"
        where = f"It does not stand where {name} should" if name else unnamed
        return (
            f"{_WORDS[reading.answer]}, because {key} is {shown(reading.value)}. {where}, so it "
            "may speak against it and never for it. Name the attribute as Jebbit sends it."
        )
    first, *_ = read
    if first.key is None:
        return f"none, because the submission has no attribute {name}: nobody was asked there."
    word = _WORDS[reading.answer]
    if reading.value is None:
        return f"{word}, because {key} is null: nothing was answered."
    if isinstance(reading.value, str) and not reading.value.strip():
        return f"{word}, because {key} is blank: nothing was answered."
    return f"{word}, because {key} is {shown(reading.value)}."


def _as_read(read: Sequence[Read]) -> str:
    """Say by which keys it was read; without values, as they may be addresses."""
    keys = [each.key for each in read if each.key]
    absent = [each.attribute for each in read if not each.key]
    said = [f"read from {', '.join(keys)}"] if keys else []
    said += [f"there is no {' or '.join(absent)}"] if absent else []
    return f" ({'; '.join(said)})" if said else ""


def _asked(status: Status | None) -> str:
    return status.value if status else "left"


def _status(channel: str, status: Status | None, why: str) -> str:
    said = f"is asked to be {status.value}" if status else "is left as it is in Cordial"
    return f"{channel} {said}: {why}."


def shown(value: JsonValue) -> str:
    """Return a value as a sentence can hold it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def without_answers(steps: Sequence[Step]) -> Sequence[Step]:
    """Return the steps as somebody may see them who may see no answer of a person."""
    return [
        step._replace(
            read=[each._replace(value=None) for each in step.read],
            sentence=_UNSAID if step.subject in _SAYS_ANSWERS else step.sentence,
        )
        for step in steps
    ]


_SAYS_ANSWERS: Final = frozenset(("region", "opt_in", "sms_opt_in"))
_UNSAID: Final = "Only an admin may see what was answered."
