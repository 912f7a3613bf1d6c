"""The service without its metrics, to see what they cost: `python -m tests.load.unwatched serve`.

`LOG_LEVEL=ERROR` does without the lines.
"""

import runpy

from app.telemetry.metrics import Metrics

for event in vars(Metrics).keys() - {"expose", "collect", "describe"}:
    if not event.startswith("_"):
        setattr(Metrics, event, lambda *_, **__: None)

runpy.run_module("app", run_name="__main__")
