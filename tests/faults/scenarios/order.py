"""The order of what is sent, and who wins."""

from typing import Any

from tests.faults.judge import was_taken
from tests.faults.processes import until
from tests.faults.scenarios.registry import BOTH, scenario
from tests.faults.stage import Stage


@scenario("replays and backfills", BOTH, 5)
def replays(stage: Stage, scale: int) -> None:
    """Of what went dead the older is not sent over the newer, nor is an older backfill."""
    stage.begin(replicas=2)
    for round_ in range(scale):
        people = [f"p{round_}x{each}" for each in range(10 if scale > 1 else 4)]
        stage.faults({"kind": "success_false"})
        older = {one: stage.accept((one, 0)) for one in people}
        stage.settle()
        stage.faults({"kind": "slow", "seconds": 0.5})
        for one in people:
            stage.accept((one, 1), experience_date="2026-11-20 10:15:00 UTC")
        for one in people:  # while the newer is under way, or just was
            stage.ops("POST", f"/submissions/{older[one][0]}/replay")
            stage.accept((one, 2), experience_date="2026-11-20 09:15:00 UTC")
            stage.withdrawn |= {(one, 0), (one, 2)}
        stage.faults()
        stage.settle()
        sent = [each["body"]["quiz_outcome"] for each in stage.read_journal() if was_taken(each)]
        assert set(sent) == {"1"}, sent
    stage.notes.append(f"{len(stage.withdrawn)} older ones not sent")


@scenario("erased while under way", BOTH, 3)
def erased(stage: Stage, scale: int) -> None:
    """Whatever Cordial answers then, nothing of the person is written again, nor sent."""
    stage.begin()
    (service,) = stage.replicas
    ids: dict[str, list[str]] = {}
    for each in range(scale):
        stage.faults({"kind": "slow", "seconds": 1})
        name = f"gone{each}"
        both = ((name, 0), (name, 1))
        ids[name] = stage.accept(*both)
        until(lambda name=name: stage.first_seen(name), "it is under way")
        answer = stage.ops("POST", "/erasures", json={"email": f"{name}@example.com"})
        assert answer.json() == {"erased": 2}, answer.text
        stage.withdrawn.update(both)
    assert service.terminate() == 0  # which finishes what is under way
    service.start()
    for each_id in (one for ones in ids.values() for one in ones):
        kept = stage.ops("GET", f"/submissions/{each_id}").json()
        left = [kept[key] for key in ("payload", "cordial_contact_id", "status", "reason")]
        assert left == [None, None, "skipped", "erased"], left
    for name in ids:
        sent = [one["body"]["quiz_outcome"] for one in stage.read_journal() if _is_of(one, name)]
        assert sent == ["0"], sent


def _is_of(entry: dict[str, Any], name: str) -> bool:
    return bool(entry["email"] == f"{name}@example.com")
