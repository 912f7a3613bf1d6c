"""The clock is set while the service runs."""

from tests.faults.scenarios.registry import BOTH, scenario
from tests.faults.stage import Stage


@scenario("clock set by an hour", BOTH, 2)
def clock_set(stage: Stage, scale: int) -> None:
    """An hour on or back between receipt and delivery, under load; killed and restarted there."""
    offset = stage.folder / "offset"
    offset.write_text("0")
    stage.settings["CLOCK_OFFSET_FILE"] = str(offset)
    stage.settings["WEBHOOK_TOLERANCE_SECONDS"] = "7200"
    stage.sandbox.start()
    service = stage.replica(("tests.faults.clock", "serve"))
    stage.create()
    with stage.load() as load:
        for turn in range(2 * scale):
            stage.faults({"kind": "server_error"})
            load.more(10)
            offset.write_text(str(3600 * (1 if turn % 2 == 0 else -1)))
            load.more(10)
            if turn % 2:
                service.kill()
                service.start()
            stage.faults()
            load.more(10)
    stage.settle()
