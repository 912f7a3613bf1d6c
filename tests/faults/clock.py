"""Run a command of the service with a clock that is set while it runs.

The file named by CLOCK_OFFSET_FILE holds the seconds by which the wall clock is wrong. As when a
real clock is set, the monotonic one goes on as before.
"""

import os
import time
from pathlib import Path

_true_time = time.time
_offset = Path(os.environ["CLOCK_OFFSET_FILE"])


def _wrong_time() -> float:
    return _true_time() + float(_offset.read_text() or 0)


if __name__ == "__main__":
    time.time = _wrong_time  # before anything is imported that keeps a reference to it
    from app.__main__ import main

    main()
