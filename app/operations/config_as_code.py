"""Integrations as a YAML file: exported from the ledger, and applied to it.

A file is the whole truth about each integration that it lists, and says nothing of others. Secrets
are never in it: it names environment variables, as `${SPRING_QUIZ_CORDIAL_API_KEY}`.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import yaml
from pydantic import StringConstraints, ValidationError

from app.cordial.account import BadAccountUrl, api_base
from app.ledger.documents import masked
from app.ledger.integrations import (
    NameTaken,
    Setup,
    StoredIntegration,
    UnknownIntegration,
    VersionChanged,
)
from app.operations.callers import Caller
from app.operations.checking import refuse_live
from app.operations.comparing import Comparison, compare_rules
from app.operations.context import Context
from app.operations.integrations import refuse_deaf, refuse_reserved
from app.operations.invalid import Invalid
from app.operations.resuming import let_send
from app.operations.strength import refuse_weak
from app.rules.integration import Integration, slug

_LONGEST = 1024 * 1024  # characters of a file; hundreds of integrations have fewer
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNRESOLVED = "unresolved"  # stands in for a missing secret while the rest is checked
_PAUSED = "Paused by a configuration file."
_ALL_ANSWERED = Setup(mapped=True, whom=True)  # a file says it all
_UNCHECKED = "Created by a configuration file; it waits for a check without errors."

Document = dict[str, Any]
Show = Callable[[str, str], str]
"""What is written for a secret, from the name of its variable and its value."""


class RefusedFile(ValueError):
    """The file cannot be applied; the message has a line for each place that is wrong."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))


class ChangedMeanwhile(ValueError):
    """Somebody changed the integration after the difference was shown; nothing of it is applied."""

    def __init__(self, integration_id: str) -> None:
        super().__init__(f"{integration_id} was changed meanwhile; apply the file once more.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An integration as a file describes it; `paused` is None if the file does not say."""

    id: str
    integration: Integration
    paused: bool | None


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done for one integration; without `before` it is created."""

    wanted: Wanted
    before: StoredIntegration | None

    @property
    def paused(self) -> bool:
        """Whether it is paused afterwards. If the file does not say: as before, a new one is."""
        if self.wanted.paused is not None:
            return self.wanted.paused
        return self.before.paused if self.before else True

    @property
    def resumes(self) -> bool:
        """Whether it starts to send."""
        return not self.paused and (self.before is None or self.before.paused)

    @property
    def is_none(self) -> bool:
        """Whether everything is as wanted already."""
        before = self.before
        return before is not None and (
            (before.integration, before.paused, before.unanswered)
            == (self.wanted.integration, self.paused, False)
        )


# --- Integration -> document ----------------------------------------------------------------------


def export(stored: Sequence[StoredIntegration]) -> tuple[str, list[str]]:
    """Return integrations as YAML, and the environment variables that it refers to.

    One of which nobody has said yet whom it sends is left out, and named in a comment: a file
    answers that, and what stands there meanwhile is nobody's answer.
    """
    variables: list[str] = []

    def refer(variable: str, _: str) -> str:
        variables.append(variable)
        return f"${{{variable}}}"

    documents = [
        document(each.id, each.integration, each.paused, refer)
        for each in stored
        if not each.unanswered
    ]
    left_out = (f"# {each.id}: {_LEFT_OUT}\n" for each in stored if each.unanswered)
    return "".join([*left_out, to_yaml(documents)]), variables


_LEFT_OUT = "left out, since nobody has said yet whom it sends and whom it subscribes"


def document(integration_id: str, integration: Integration, paused: bool, show: Show) -> Document:
    """Return one integration as the file has it: what is left out has its default."""
    plain = integration.model_dump(mode="json", exclude_defaults=True)
    prefix = _variable_prefix(integration_id)
    key = integration.cordial.api_key.get_secret_value()
    plain["cordial"]["api_key"] = show(f"{prefix}_CORDIAL_API_KEY", key)
    plain.setdefault("jebbit", {})["webhook_secrets"] = [
        show(f"{prefix}_JEBBIT_WEBHOOK_SECRET" + (f"_{n}" if n > 1 else ""), each)
        for n, each in enumerate(_webhook_secrets(integration), 1)
    ]
    state = "paused" if paused else "active"
    return {"id": integration_id, "name": plain.pop("name"), "state": state, **plain}


def _variable_prefix(integration_id: str) -> str:
    name = integration_id.upper().replace("-", "_")
    return f"_{name}" if name[0].isdigit() else name  # no variable begins with a digit


def _webhook_secrets(integration: Integration) -> list[str]:
    return [each.get_secret_value() for each in integration.jebbit.webhook_secrets]


def to_yaml(documents: Sequence[Document]) -> str:
    """Return the file of these integrations."""
    return _yaml({"integrations": list(documents)})


def _yaml(plain: Document) -> str:
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Indents lists, as people write them, and writes no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


# --- Document -> integration ----------------------------------------------------------------------


class _Entry(Integration):
    """An integration as a file lists it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,100}$")] | None = None
    state: Literal["active", "paused"] | None = None


def read(text: str, environment: Mapping[str, str], extra_hosts: Set[str]) -> list[Wanted]:
    """Return what a file wants.

    Args:
        text: the file.
        environment: where the variables are that it refers to.
        extra_hosts: as `cordial.account.api_base` takes them.

    Raises:
        RefusedFile: something in it is wrong, or a variable is not set.
    """
    reading = _Reading(environment, extra_hosts)
    found = [reading.entry(place, each) for place, each in _entries(text)]
    wanted = [each for each in found if each is not None]
    reading.refuse_twice(wanted)
    if reading.missing:
        names = ", ".join(sorted(set(reading.missing)))
        reading.lines.append(f"not set in the environment: {names}")
    if reading.lines:
        raise RefusedFile(reading.lines)
    return wanted


def text_of(content: bytes) -> str:
    """Return a file's text.

    Raises:
        RefusedFile: it is not in UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RefusedFile(["it is not in UTF-8; save it so"]) from None


def _entries(text: str) -> Iterator[tuple[str, object]]:
    """Yield the entries of a file, each with its place.

    Raises:
        RefusedFile: it is no such file.
    """
    if len(text) > _LONGEST:
        raise RefusedFile([f"a file may hold {_LONGEST} characters; this one has {len(text)}"])
    try:
        file = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise RefusedFile([f"{line}{error.problem or 'no YAML'}"]) from None
    except yaml.YAMLError:
        raise RefusedFile(["it holds characters that YAML does not have"]) from None
    except RecursionError:
        raise RefusedFile(["it is nested too deeply"]) from None
    listed = file.get("integrations") if isinstance(file, dict) else None
    if not isinstance(listed, list):
        raise RefusedFile(["write a list of integrations under `integrations:`"])
    if unknown := sorted(file.keys() - {"integrations"}):
        raise RefusedFile([f"{each}: there is only `integrations` at the top" for each in unknown])
    for n, each in enumerate(listed):
        name = each.get("id") or each.get("name") if isinstance(each, dict) else None
        yield f"integrations[{n}]" + (f" ({name})" if name else ""), each


@dataclass(slots=True)
class _Reading:
    """Reads the entries of a file and gathers what is wrong with them."""

    environment: Mapping[str, str]
    extra_hosts: Set[str]
    lines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def entry(self, place: str, given: object) -> Wanted | None:
        """Return the integration of one entry; None if the entry is wrong."""
        try:
            entry = _Entry.model_validate(self._resolved(place, given))
            api_base(entry.cordial.account_url, self.extra_hosts)
        except ValidationError as error:
            for each in error.errors(include_input=False):
                self._refuse(place, each["loc"], each["msg"].removeprefix("Value error, "))
            return None
        except BadAccountUrl as error:
            self._refuse(place, ("cordial", "account_url"), str(error))
            return None
        paused = None if entry.state is None else entry.state == "paused"
        integration = Integration.model_validate(entry.model_dump(exclude={"id", "state"}))
        return Wanted(entry.id or slug(entry.name), integration, paused)

    def refuse_twice(self, wanted: Sequence[Wanted]) -> None:
        """Gather the ids that occur more than once."""
        ids = [each.id for each in wanted]
        for twice in sorted({each for each in ids if ids.count(each) > 1}):
            self.lines.append(f"{twice}: it is listed more than once")

    def _resolved(self, place: str, given: object) -> object:
        """Return an entry with each reference replaced by its secret.

        Its parts are copied: by an alias several entries may share one.
        """
        if not isinstance(given, dict):
            return given
        made, cordial, jebbit = dict(given), given.get("cordial"), given.get("jebbit")
        if isinstance(cordial, dict) and "api_key" in cordial:
            key = self._secret(place, ("cordial", "api_key"), cordial["api_key"])
            made["cordial"] = {**cordial, "api_key": key}
        if isinstance(jebbit, dict) and isinstance(jebbit.get("webhook_secrets"), list):
            secrets = [
                self._secret(place, ("jebbit", "webhook_secrets", n), each)
                for n, each in enumerate(jebbit["webhook_secrets"])
            ]
            made["jebbit"] = {**jebbit, "webhook_secrets": secrets}
        return made

    def _secret(self, place: str, at: tuple[str | int, ...], given: object) -> str:
        reference = _REFERENCE.fullmatch(given) if isinstance(given, str) else None
        if reference is None:
            self._refuse(place, at, "write a reference such as ${NAME}, never the secret itself")
            return _UNRESOLVED
        value = self.environment.get(reference[1])
        if not value:
            self.missing.append(reference[1])
        return value or _UNRESOLVED

    def _refuse(self, place: str, at: Collection[str | int], detail: str) -> None:
        self.lines.append(f"{'.'.join([place, *map(str, at)])}: {detail}")


class _Loader(yaml.SafeLoader):
    """Reads as people mean it: `yes`, `NO`, dates, `01234` and `12:30` are words.

    Keys are words and occur once.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError):  # of a tag, or of thousands of digits
            raise yaml.constructor.ConstructorError(
                None, None, "a value that cannot be read; put it into quotes", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in made:
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is no word, or occurs twice", key.start_mark
                )
            made[key.value] = self.construct_object(value, deep=deep)
        return made


# YAML 1.1 takes many words for something else. What the dumper leaves without quotes is read back.
_WORDS_AS_WELL = {
    f"tag:yaml.org,2002:{each}" for each in ("bool", "timestamp", "int", "float", "value")
}
_WHOLE = "[-+]?(?:0|[1-9][0-9]*)"
_READ_AS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (_WHOLE, "-+0123456789"),
    "float": (
        rf"{_WHOLE}\.[0-9]*(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _WORDS_AS_WELL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _READ_AS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


# --- The difference -------------------------------------------------------------------------------


def changes(wanted: Sequence[Wanted], stored: Sequence[StoredIntegration]) -> list[Change]:
    """Return what is to be done, in the order of the file; nothing is ever deleted."""
    before = {each.id: each for each in stored}
    made = [Change(each, before.get(each.id)) for each in wanted]
    return [each for each in made if not each.is_none]


def diff(planned: Sequence[Change], file_name: str) -> str:
    """Return a unified difference for each change, of YAML with secrets masked."""
    return "\n".join(line for each in planned for line in _diff(each, file_name))


def _diff(change: Change, file_name: str) -> Iterator[str]:
    before = _yaml(_shown_before(change.before)).splitlines() if change.before else []
    after = _yaml(_shown_after(change)).splitlines()
    names = f"{change.wanted.id} (ledger)", f"{change.wanted.id} ({file_name})"
    return difflib.unified_diff(before, after, *names, lineterm="")


def _shown_before(stored: StoredIntegration) -> Document:
    plain = document(stored.id, stored.integration, stored.paused, lambda _, value: masked(value))
    if stored.unanswered:
        del plain["policy"]  # nobody's answer
    return plain


def _shown_after(change: Change) -> Document:
    """Return the document; `(new)` marks a changed secret, whose mask may look the same."""
    before = change.before.integration if change.before else change.wanted.integration
    known = {before.cordial.api_key.get_secret_value(), *_webhook_secrets(before)}

    def show(_: str, value: str) -> str:
        return masked(value) + ("" if value in known else " (new)")

    return document(change.wanted.id, change.wanted.integration, change.paused, show)


# --- The ledger -----------------------------------------------------------------------------------


async def export_all(context: Context) -> tuple[str, list[str]]:
    """Return all integrations as YAML, and the environment variables that it refers to."""
    return export(await context.integrations.list())


async def compare(context: Context, wanted: Sequence[Wanted]) -> list[Change]:
    """Return what is to be done to make the ledger's integrations as a file wants them.

    Raises:
        RefusedFile: a new webhook secret protects nothing, the last one goes, or a new id is
            reserved.
    """
    planned = changes(wanted, await context.integrations.list())
    if refused := [line for each in planned for line in _refused(each)]:
        raise RefusedFile(refused)
    return planned


def _refused(change: Change) -> Iterator[str]:
    before = change.before.integration if change.before else None
    try:
        if before is None:
            refuse_reserved(change.wanted.id)
        else:
            refuse_deaf(before, change.wanted.integration)
        refuse_weak(change.wanted.integration, before)
    except Invalid as error:
        for each in error.places:
            yield f"{change.wanted.id}.{each.place}: {each.detail}"


async def compare_all(
    context: Context, planned: Sequence[Change], last: int
) -> list[tuple[str, Comparison]]:
    """Return what the changes would do with the newest submissions, by the integration's id.

    A new integration has none, and is left out.
    """
    return [
        (
            each.wanted.id,
            await compare_rules(context, each.before, each.wanted.integration, last),
        )
        for each in planned
        if each.before is not None
    ]


async def apply(context: Context, who: Caller, change: Change, *, force: bool) -> None:
    """Make one integration as the file wants it: paused first, resumed last.

    So a half-applied integration sends nothing. `force` resumes it without a check.

    Raises:
        ChangedMeanwhile: it is no longer as it was when the change was planned.
        CheckFailed: it was paused and stays so, with everything stored; or it is active, and then
            nothing is changed.
    """
    integration_id = change.wanted.id
    async with context.auditor.changing(who, "integration.apply", integration_id):
        try:
            if change.before is None:
                made = await _create(context, who, change)
            else:
                made = await _change(context, who, change, change.before, force=force)
            if change.resumes:
                await let_send(context, integration_id, force=force, version=made.version)
        except (NameTaken, UnknownIntegration, VersionChanged):
            raise ChangedMeanwhile(integration_id) from None


async def _create(context: Context, who: Caller, change: Change) -> StoredIntegration:
    return await context.integrations.create(
        change.wanted.integration,
        paused_reason=_PAUSED if change.paused else _UNCHECKED,
        now=context.clock(),
        integration_id=change.wanted.id,
        by=who.name,
    )


async def _change(
    context: Context, who: Caller, change: Change, before: StoredIntegration, *, force: bool
) -> StoredIntegration:
    """Change an integration, unless somebody changed, paused or resumed it meanwhile.

    Between the difference that a person saw and their yes to it may lie minutes.
    """
    integration_id, now = change.wanted.id, context.clock()
    wanted = change.wanted.integration
    found = await context.integrations.get(integration_id)
    if (found.version, found.paused) != (before.version, before.paused):
        raise ChangedMeanwhile(integration_id)
    if not force and not change.paused:
        await refuse_live(context, before, wanted)
    if change.paused and not before.paused:
        found = await context.integrations.pause(integration_id, reason=_PAUSED, now=now)
    if wanted != before.integration or before.unanswered:
        found = await context.integrations.change(
            integration_id,
            lambda _: wanted,
            now=now,
            version=before.version,
            paused=found.paused,
            by=who.name,
            answers=lambda _: _ALL_ANSWERED,
        )
    return found
