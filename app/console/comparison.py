"""What a change of the rules would do with what came in, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.console.state import Visit
from app.console.words import reason_in_words
from app.operations.comparing import Change, Comparison, Outcome


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """So many submissions would have another outcome; `examples` are short ids with their pages."""

    number: int
    before: str
    after: str
    examples: Sequence[tuple[str, str]]


def change_lines(visit: Visit, found: Comparison) -> Sequence[ChangeLine]:
    """Return the changes of outcome that a comparison found."""

    def line(each: Change) -> ChangeLine:
        examples = [(one[-8:], visit.link(f"/submissions/{one}")) for one in each.examples]
        return ChangeLine(each.count, told(each.before), told(each.after), examples)

    return [line(each) for each in found.changes]


def told(outcome: Outcome) -> str:
    """Return what a plan comes to in a few words."""
    if outcome.outcome == "skip":
        return f"not sent: {reason_in_words(outcome.reason or '')}"
    said = f"sent, email {outcome.email or 'left as it is'}"
    if outcome.sms:
        said += f", SMS {outcome.sms}"
    return said + (", forced" if outcome.force else "")
