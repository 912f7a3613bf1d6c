"""Work done in forked processes, a few at a time, each with bounds of its own."""

import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Job = TypeVar("Job")

WORKERS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 2
_MEMORY = 4 << 30  # bytes of address space: an endless loop that collects must not fill the machine


@dataclass(frozen=True)
class Bounds:
    """What one job may take: seconds of CPU, and seconds by the clock on the wall."""

    cpu: int
    wall: float


class Broken(Exception):
    """A job failed by itself, which says nothing of what it was to try."""


class OutOfBounds:
    """What a job gives that took more than it may."""


@dataclass
class _Child:
    job: Any
    pid: int
    reading: int
    deadline: float


def in_children(
    jobs: Iterable[Job], work: Callable[[Job], Any], bounds: Callable[[Job], Bounds]
) -> Iterator[tuple[Job, Any]]:
    """Yield each job with what `work` returns for it (as JSON), in the order in which they end.

    Raises:
        Broken: `work` raised.
    """
    waiting = iter(jobs)
    running: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        while True:
            while len(running) < WORKERS and (job := next(waiting, None)) is not None:
                child = _start(job, work, bounds(job))
                running[child.reading] = child
                selector.register(child.reading, selectors.EVENT_READ)
            if not running:
                return
            first = min(each.deadline for each in running.values())
            for key, _ in selector.select(max(first - time.monotonic(), 0)):
                selector.unregister(key.fd)
                child = running.pop(key.fd)
                yield child.job, _end(child)
            for child in running.values():
                if child.deadline <= time.monotonic():
                    os.kill(child.pid, signal.SIGKILL)  # its end is then read as any other
                    child.deadline += 60


def _start(job: Any, work: Callable[[Any], Any], bounds: Bounds) -> _Child:
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_a_child(job, work, bounds, writing)
    os.close(writing)
    return _Child(job, pid, reading, time.monotonic() + bounds.wall)


def _be_a_child(job: Any, work: Callable[[Any], Any], bounds: Bounds, writing: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nowhere, each)
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu, bounds.cpu + 5))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.RLIM_INFINITY))
    try:
        told = {"result": work(job)}
    except BaseException:
        told = {"broken": traceback.format_exc()}
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(told).encode())
    os._exit(0)


def _end(child: _Child) -> Any:
    with os.fdopen(child.reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child.pid, 0)
    if os.WIFSIGNALED(status):
        return OutOfBounds()
    answer = json.loads(told)
    if "broken" in answer:
        raise Broken(answer["broken"])
    return answer["result"]
