"""Sums over processes: what one shows for itself and for those it has started.

Counters and histograms add up, and so does memory; of the rounds of the workers the newest counts.
Everything else is shown as the process itself has it.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

Key = tuple[str, tuple[tuple[str, str], ...]]
Told = dict[str, list[tuple[str, dict[str, str], float]]]
"""What a process tells another: by the metric's name its samples, each with name, labels, value."""

NEWEST = "jebbit_sync_worker_last_round_timestamp_seconds"
_KINDS = ("counter", "histogram")
_MEMORY = ("process_resident_memory_bytes", "process_virtual_memory_bytes")


def told(families: Iterable[Metric]) -> Told:
    """Return what adds up over processes."""
    return {
        each.name: [(sample.name, sample.labels, sample.value) for sample in each.samples]
        for each in families
        if _adds_up(each)
    }


def _adds_up(family: Metric) -> bool:
    return family.type in _KINDS or family.name in (*_MEMORY, NEWEST)


class Others:
    """What other processes have told of, the ended ones included: no counter goes backwards."""

    def __init__(self) -> None:
        self._living: dict[int, Told] = {}
        self._ended: dict[str, dict[Key, float]] = {}

    def heard(self, process: int, told: Told) -> None:
        """Take the newest numbers of a process."""
        self._living[process] = told

    def ended(self, process: int) -> None:
        """Keep what a process had counted; its memory is free."""
        for name, samples in self._living.pop(process, {}).items():
            if name not in _MEMORY:
                _add(self._ended.setdefault(name, {}), name, samples)

    def added_to(self, families: Iterable[Metric]) -> Iterator[Metric]:
        """Give these metrics with what the others have counted."""
        for each in families:
            if _adds_up(each) and (self._living or self._ended):
                sums = {_key(sample.name, sample.labels): sample.value for sample in each.samples}
                for key, value in self._ended.get(each.name, {}).items():
                    _add(sums, each.name, [(key[0], dict(key[1]), value)])
                for told in self._living.values():
                    _add(sums, each.name, told.get(each.name, []))
                each.samples = [Sample(name, dict(labels), n) for (name, labels), n in sums.items()]
            yield each


def _add(
    sums: dict[Key, float], family: str, samples: Iterable[tuple[str, dict[str, str], float]]
) -> None:
    for name, labels, value in samples:
        key = _key(name, labels)
        before = sums.get(key, 0.0)
        sums[key] = max(before, value) if family == NEWEST else before + value


def _key(name: str, labels: dict[str, str]) -> Key:
    return name, tuple(labels.items())
