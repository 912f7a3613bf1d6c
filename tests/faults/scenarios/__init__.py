"""The fault scenarios, by subject. Each plays on a fresh stage; `scale` says how long or how often.

What a scenario must show beyond the report's zeros, it asserts itself.
"""

from importlib import import_module

from tests.faults.scenarios.registry import SCENARIOS, missing

__all__ = ["SCENARIOS", "missing"]

# Each enters its own; in this order they are played, and stand in the table.
_SUBJECTS = "dying ledger cordial order turns clock garbage connections proxies databases freezing"
for _subject in _SUBJECTS.split():
    import_module(f"{__name__}.{_subject}")
