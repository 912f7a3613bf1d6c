"""A comparison of rules says what delivery then does, and a script can refuse a change by it."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.operations import comparing
from tests.beside import make_work_slow, others
from tests.conftest import SECRET_KEY, SandboxServer, Service
from tests.thorough import thorough
from tests.waiting import wait_for

_numbers = count(1)

answers = st.sampled_from(["true", "no", None, "perhaps"])
people = st.fixed_dictionaries(
    {"country_code": st.sampled_from(["US", "DE", "CA", None])},
    optional={
        "opt_in": answers,
        "sms": answers,
        "phone": st.sampled_from(["+1 555 555 0123", "12"]),
        "url_params": st.just("opt_in=true"),
        "is_valid": st.booleans(),
    },
)
policies = st.fixed_dictionaries(
    {
        "collect": st.sampled_from(["both", "eu", "non_eu"]),
        "opt_in": st.sampled_from(["opted_in_only", "opted_in_or_null"]),
        "auto_subscribe": st.booleans(),
        "resubscribe": st.sampled_from(["never", "explicit_opt_in"]),
        "on_opt_out": st.sampled_from(["leave", "unsubscribe"]),
    }
)
MAPPING = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone", "field": "channels.sms.address"},
]


@pytest.fixture
def running(service: Callable[..., Service]) -> Service:
    return service()


@given(st.lists(people, min_size=1, max_size=8), policies, policies)
@settings(
    max_examples=50 if thorough() else 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_is_compared_is_what_a_replay_then_does(running, came_in, before, after):
    """Each outcome and status as often as it was said, after the change is made."""
    quiz = running.create_integration(
        name=f"Compared {next(_numbers)}",
        cordial={"sms": {}},
        jebbit={"attributes": {"sms_opt_in": "sms"}},
        mapping=MAPPING,
        policy={**before, "opt_in_guard": False},
    )["id"]
    bodies = [{**each, "email": f"p{next(_numbers)}@example.com"} for each in came_in]
    ids = running.post(bodies, quiz).json()["submissions"]
    settled(running, quiz)
    patch = {"policy": after}
    said = running.client.post(
        f"/integrations/{quiz}/drafts/comparison", json={"patch": patch}
    ).json()
    assert (said["compared"], said["not_compared"]) == (len(ids), 0)

    changed = running.client.patch(f"/integrations/{quiz}?force=true", json=patch)
    assert changed.status_code == 200, changed.text
    was = outcomes(running, ids)
    running.client.post(
        "/submissions/replay?confirm=true&force=true", json={"integration": quiz}
    ).raise_for_status()
    settled(running, quiz)
    is_ = outcomes(running, ids)
    expected = Counter(was.values())
    for change in said["changes"]:
        expected[told(change["before"])] -= change["count"]
        expected[told(change["after"])] += change["count"]
    assert +expected == +Counter(is_.values())


def test_who_is_not_subscribed_for_want_of_the_question_is_told_to_be(running):
    """Comparison and preview know that the opt-in went missing, as delivery does: without the guard
    all of them are newly subscribed."""
    running.create_integration(state="paused")
    asked = {"email": "asked@example.com", "country_code": "US", "opt_in": ""}
    bodies = [{"email": f"p{n}@example.com", "country_code": "US"} for n in range(50)]
    first, *_ = running.post([asked, *bodies]).json()["submissions"]
    compared = "/integrations/spring-quiz/drafts/comparison"
    without = {"patch": {"policy": {"opt_in_guard": False}}}
    said = running.client.post(compared, json=without).json()
    assert (said["newly_subscribed"], len(said["changes"])) == (51, 1)
    stored = running.client.get(f"/submissions/{first}").json()["plan"]
    preview = "/integrations/spring-quiz/preview"
    new, new_asked = (
        running.client.post(preview, json=each).json()["submissions"][0]
        for each in (bodies[0], asked)
    )
    missing = [
        ["opt_in_missing" in {warned["code"] for warned in each["warnings"]}]
        for each in (stored, new, new_asked)
    ]
    assert missing == [[True], [True], [False]]  # with the last one it would be there again


async def test_others_have_their_turn_while_it_is_planned(running, monkeypatch):
    """Deliveries and webhooks need not wait for more than a few plans."""
    running.create_integration(state="paused")
    running.post([{"email": f"{n}@example.com", "country_code": "US"} for n in range(100)])
    make_work_slow(monkeypatch)
    app = create_app(running.settings)
    async with app.router.lifespan_context(app):
        context = app.state.console.context
        async with others() as had:
            found = await comparing.compare(context, "spring-quiz", {"unmapped": "known"})
    assert found.compared == 100
    assert had.turns >= 2 * 100 / 3  # they are read, and then they are planned


def told(outcome: dict[str, Any]) -> tuple[Any, ...]:
    return outcome["reason"], outcome["email"], outcome["sms"]


def outcomes(running: Service, ids: list[str]) -> dict[str, tuple[Any, ...]]:
    """What was decided of each when it settled: why it was skipped, or the statuses asked."""
    found = {}
    for each in ids:
        decision = running.submission(each)["decision"]
        asked = decision["basis"] if decision["outcome"] == "delivered" else {}
        found[each] = decision["reason"], asked.get("email_status"), asked.get("sms_status")
    return found


def settled(running: Service, quiz: str) -> None:
    """Wait until nothing of an integration is pending."""

    def nothing() -> bool:
        query = {"integration": quiz, "status": "pending"}
        return not running.client.get("/submissions", params=query).json()["submissions"]

    wait_for(nothing, 10, "all to settle")


@pytest.fixture
def exported(
    running: Service, command: Callable[..., Any], sandbox_server: SandboxServer, tmp_path: Any
) -> Callable[..., Any]:
    """Change the exported file by `old` and `new`, and run `apply` on it."""
    environment = {
        "DATABASE_URL": running.settings.database_url,
        "SECRET_KEY": SECRET_KEY,
        "CORDIAL_EXTRA_HOSTS": sandbox_server.host,
        "SPRING_QUIZ_CORDIAL_API_KEY": "sandbox-key",
        "SPRING_QUIZ_JEBBIT_WEBHOOK_SECRET": "whsec-0123456789abcdef",
    }

    def apply(old: str, new: str, *arguments: str) -> Any:
        assert command("export", "--file", "file.yaml", **environment).code == 0
        text = (tmp_path / "file.yaml").read_text()
        assert old in text
        (tmp_path / "file.yaml").write_text(text.replace(old, new))
        return command("apply", "file.yaml", *arguments, **environment)

    return apply


def test_a_script_refuses_a_change_that_would_subscribe_people(running, exported):
    """Exit 1, nothing applied; what subscribes nobody is applied."""
    running.create_integration(policy={"opt_in": "opted_in_only"})
    running.post([{"email": f"{n}@example.com", "country_code": "US"} for n in range(3)])
    settled(running, "spring-quiz")
    flags = ("--yes", "--compare", "2", "--refuse-newly-subscribed")
    refused = exported("opted_in_only", "opted_in_or_null", *flags)
    assert refused.code == 1
    assert "Nothing is applied: people would be newly subscribed." in refused.err
    assert "spring-quiz: compared over 2 submissions\n  NEWLY SUBSCRIBED: 2\n" in refused.out
    line = "       2  skipped (not_opted_in) -> sent (email subscribed, sms left alone)\n"
    assert line in refused.out
    policy = running.client.get("/integrations/spring-quiz").json()["policy"]
    assert policy["opt_in"] == "opted_in_only"
    done = exported("name: Spring quiz", "name: Other", *flags)
    assert (done.code, "  nothing changes\n" in done.out) == (0, True)
    assert running.client.get("/integrations/spring-quiz").json()["name"] == "Other"


def test_a_dry_run_says_if_there_is_nothing_to_compare_with(running, exported):
    """A change of which nothing is known does not look like one that changes nothing."""
    running.create_integration(policy={"opt_in": "opted_in_only"})
    shown = exported("opted_in_only", "opted_in_or_null", "--dry-run")
    assert "  nothing came in to compare with\n" in shown.out


def test_a_dry_run_compares_with_what_came_in(running, exported):
    running.create_integration(policy={"opt_in": "opted_in_only"})
    running.post([{"email": "ann@example.com", "country_code": "US", "outcome": "Bold"}])
    settled(running, "spring-quiz")
    shown = exported("opted_in_only", "opted_in_or_null", "--dry-run")
    assert shown.code == 0
    assert "spring-quiz: compared over 1 submissions\n" in shown.out
    assert "  field quiz_outcome: added 1\n" in shown.out
    policy = running.client.get("/integrations/spring-quiz").json()["policy"]
    assert policy["opt_in"] == "opted_in_only"
