"""What a plan costs, printed: `python -m tests.load.bench_plan`."""

import json
import platform
import statistics
import time

from pydantic_core import from_json, to_json

from app.jebbit.submission import Submission, parse
from app.rules.integration import Integration
from app.rules.plan import plan

_ROUNDS, _CALLS = 20, 500
NOW = 1_790_000_000.0  # unix seconds


def main() -> None:
    """Print the cost of a plan over 20 mapped attributes, and of reading and writing its JSON."""
    integration, body = _integration(), json.dumps(_submission()).encode()
    item = parse(body)[0]
    assert item.submission is not None
    submission = item.submission

    planned = _microseconds(
        lambda: plan(Submission(submission.attributes), integration, received_at=NOW, now=NOW)
    )
    parsed = _microseconds(lambda: to_json(from_json(body)))
    print(f"Python {platform.python_version()}, median of {_ROUNDS} rounds of {_CALLS} calls")
    print(f"plan()                          {planned:7.1f} µs")
    print(f"from_json + to_json of the same {parsed:7.1f} µs  (ratio {planned / parsed:.1f})")


def _microseconds(call: object) -> float:
    assert callable(call)
    rounds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            call()
        rounds.append((time.perf_counter() - started) / _CALLS * 1e6)
    return statistics.median(rounds)


def _integration() -> Integration:
    attributes = [f"answer_{number}" for number in range(14)]
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone_number", "field": "channels.sms.address"},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": "|"},
        {"attribute": "age", "field": "age", "type": "number"},
        {"attribute": "experience_date", "field": "quiz_date", "type": "date"},
        {"attribute": "newsletter", "field": "weekly_deals", "type": "list"},
        *({"attribute": each, "field": each} for each in attributes),
    ]
    return Integration.model_validate(
        {
            "name": "Bench",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "key"},
            "jebbit": {"webhook_secrets": ["secret"]},
            "mapping": mapping,
            "policy": {"collect": "both", "opt_in": "opted_in_or_null", "auto_subscribe": True},
        }
    )


def _submission() -> dict[str, object]:
    return {
        "email": "ann@example.com",
        "phone_number": "555-555-0101",
        "colors": "red|blue",
        "age": "31",
        "experience_date": "2026-11-20 10:15:00 UTC",
        "newsletter": "yes",
        "opt_in": "true",
        "country_code": "US",
        "url_params": "L=home&utm_source=mail",
        "user_session_id": "session-1",
        **{f"answer_{number}": f"Answer number {number}" for number in range(14)},
    }


if __name__ == "__main__":
    main()
