"""The service without its metrics, to see what they cost: `python -m tests.load.unwatched serve`.

`LOG_LEVEL=ERROR` does without the lines.
"""

import runpy

from app.telemetry.metrics import Metrics

for event in list(vars(Metrics)):
    if not event.startswith("_") and event != "expose":
        setattr(Metrics, event, lambda *_: None)

runpy.run_module("app", run_name="__main__")
