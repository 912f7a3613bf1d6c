"""The editor's preview: one submission by the rules in the form, and by those that hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from app.console import words
from app.console.changes import DifferenceLine, shown
from app.console.comparison import told
from app.console.decision import DecisionView, decision_of
from app.console.state import Visit
from app.console.times import told as told_ago
from app.jebbit.submission import TooManyItems, UnreadableBody
from app.ledger.submissions import StoredSubmission, UnknownSubmission
from app.operations import changes, drafting
from app.operations.drafting import Trial


@dataclass(frozen=True, slots=True)
class SampleLine:
    """A submission that can be tried."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class TrialView:
    """What becomes of a submission.

    `before` is what the rules that hold do, if they do otherwise. `differences` are those of the
    request, `is_new` says that it is not sent today. `problem` says why there is nothing to see.
    """

    said: str = ""
    before: str | None = None
    decision: DecisionView | None = None
    differences: Sequence[DifferenceLine] = ()
    is_new: bool = False
    note: str | None = None
    link: str | None = None
    problem: str | None = None


async def sample_lines(visit: Visit, integration_id: str, chosen: str) -> Sequence[SampleLine]:
    """Return what can be tried, the newest first; what was chosen is among them."""
    found = await drafting.samples(visit.context, integration_id)
    lines = [SampleLine(each.id, _line(visit, each)) for each in found]
    if chosen and all(each.id != chosen for each in lines):
        lines.append(SampleLine(chosen, f"chosen · {chosen[-8:]}"))
    return lines


def _line(visit: Visit, stored: StoredSubmission) -> str:
    outcome = words.brief(stored.status, stored.reason)
    return f"{told_ago(visit.times.now - stored.received_at)} · {outcome} · {stored.id[-8:]}"


async def trial_of(
    visit: Visit, integration_id: str, patch: Mapping[str, JsonValue], sample: str, pasted: str
) -> TrialView | None:
    """Try a draft on what was pasted, else on a stored submission; None if there is neither.

    Raises:
        Invalid: with the patch it would be no integration.
    """
    context = visit.context
    if pasted.strip():
        try:
            found = await drafting.try_body(context, integration_id, patch, pasted.encode())
        except (UnreadableBody, TooManyItems) as error:
            return TrialView(problem=f"What is pasted cannot be read: {error}")
        if not found:
            return TrialView(problem="What is pasted holds no submission.")
        note = f"The first of {len(found)} that are pasted." if len(found) > 1 else None
        return _view(found[0], note, None)
    if not sample:
        return None
    try:
        tried = await drafting.try_stored(context, integration_id, patch, sample)
    except UnknownSubmission:
        return TrialView(problem="There is no such submission of this integration.")
    if tried is None:
        return TrialView(problem="This one cannot be read, or was wiped. Choose another.")
    return _view(tried, None, visit.link(f"/submissions/{sample}"))


def _view(tried: Trial, note: str | None, link: str | None) -> TrialView:
    said, before = told(tried.is_), told(tried.was)
    was, is_ = tried.before.request, tried.after.request
    return TrialView(
        said=said[0].upper() + said[1:],
        before=None if before == said else before,
        decision=decision_of(tried.after),
        differences=shown(changes.differences(was.body, is_.body)) if was and is_ else (),
        is_new=is_ is not None and was is None,
        note=note,
        link=link,
    )
