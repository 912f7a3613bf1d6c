"""What several processes count is shown as if one had counted it."""

from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import Metrics

DELIVERED = ("submissions_settled_total", ("integration", "quiz"), ("outcome", "delivered"))


def shown(metrics: Metrics) -> dict[tuple[object, ...], float]:
    return {
        (each.name.removeprefix("jebbit_sync_"), *sorted(each.labels.items())[:2]): each.value
        for family in text_string_to_metric_families(metrics.expose([]).decode())
        for each in family.samples
    }


def child(deliveries: int) -> Metrics:
    made = Metrics()
    for _ in range(deliveries):
        made.settled("quiz", "delivered", None, lag=0.3)
    return made


def test_counts_of_all_processes_add_up():
    """Also of labels that only another process has met; buckets stay in order."""
    parent = child(1)
    parent.webhook("quiz", "accepted", 0.01)
    parent.heard(1, child(2).told())
    parent.heard(2, child(3).told())
    parent.heard(2, child(4).told())  # the newest of a process counts
    found = shown(parent)
    assert found[DELIVERED] == 7
    assert found["delivery_lag_seconds_count", ("integration", "quiz")] == 7
    buckets = [
        value for (name, *_), value in found.items() if name == "delivery_lag_seconds_bucket"
    ]
    assert buckets == sorted(buckets)
    assert found["webhooks_total", ("integration", "quiz"), ("outcome", "accepted")] == 1


def test_what_an_ended_process_counted_stays_and_what_it_held_goes():
    """No counter goes back when another one begins at zero; memory is that of those that live."""
    parent = child(0)
    alone = shown(parent)["process_resident_memory_bytes",]
    delivering = child(2)
    delivering.round()
    parent.heard(1, delivering.told())
    round_at = shown(parent)["worker_last_round_timestamp_seconds",]
    assert round_at > 0
    assert shown(parent)["process_resident_memory_bytes",] > 1.5 * alone
    parent.ended(1)
    parent.heard(2, child(0).told())
    parent.ended(2)
    parent.ended(3)  # it never told anything
    found = shown(parent)
    assert found[DELIVERED] == 2
    assert found["worker_last_round_timestamp_seconds",] == round_at
    assert found["process_resident_memory_bytes",] < 1.5 * alone
