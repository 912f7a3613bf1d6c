"""SIGTERM and SIGINT end each command well, at whatever moment they come."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import STARTING_SECONDS, UNTIL_TOLD, Program, catches, children_of, form_of
from tests.thorough import left_to_faults, thorough
from tests.waiting import POLL, wait_for


@pytest.fixture
def begin(launch: Callable[..., Program], tmp_path: Path) -> Callable[..., Program]:
    """Start one of the commands, perhaps `under` another program."""

    def start(command: str, **more: list[str]) -> Program:
        arguments, settings = form_of(command)
        return launch(*arguments, TMPDIR=str(tmp_path), **settings, **more)

    return start


@pytest.mark.parametrize("command", UNTIL_TOLD)
def test_a_signal_during_the_start_ends_it_with_0(begin, tmp_path, command):
    """From the first lines of the program on, through all that it loads, opens and binds, to the
    moment it serves: the exit code is 0, nothing is told as an error, and nothing stays behind.
    """
    chance = random.Random(seed := random.randrange(1_000_000))
    for _ in range(10 if thorough() else 1):
        moment = chance.choice((0.0, chance.uniform(0, STARTING_SECONDS)))
        number = chance.choice([signal.SIGTERM, signal.SIGINT])
        program = begin(command)
        program.until_handled()
        program.until_spent(moment)
        code = program.end(number)
        told = f"{number.name} after {moment:.3f} s of CPU time, seed {seed}: {program.said()}"
        assert code == 0, told
        assert "Traceback" not in told
        assert not list(tmp_path.glob("tmp*")), told


def test_the_handlers_are_there_before_anything_large_is_loaded(begin):
    """Without one a signal kills the process, or is ignored by process 1 of a container."""
    program = begin("serve")
    program.until_handled()
    loaded = Path(f"/proc/{program.popen.pid}/maps").read_text()
    assert program.end() == 0
    assert "python" in loaded
    assert "pydantic" not in loaded


@left_to_faults("it keeps a core busy")
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_signals_without_end_change_nothing(begin, command):
    """Also while it ends, and while the interpreter goes: the exit code stays 0."""
    program = begin(command)
    program.until_handled()
    program.until_spent(STARTING_SECONDS)
    while program.running:  # one a millisecond: without end, and yet it gets to do something else
        program.send(signal.SIGTERM)
        program.send(signal.SIGINT)
        time.sleep(POLL / 10)
    assert program.wait() == 0


def test_a_command_with_a_task_does_not_end_as_if_it_had_done_it(launch):
    """`migrate` that is told to end before it is through exits with 143, the shell's 128 + 15."""
    program = launch("migrate")
    program.until_handled()
    assert program.end() == 143


# --- As process 1 ---------------------------------------------------------------------------


@pytest.fixture
def container() -> list[str]:
    """What starts a program as process 1 of a namespace, as a container's runtime does."""
    unshare = shutil.which("unshare")
    for user in ([], ["--user", "--map-root-user"]):
        under = [str(unshare), *user, "--pid", "--fork", "--kill-child"]
        if (
            unshare
            and subprocess.run([*under, "true"], check=False, capture_output=True).returncode == 0
        ):
            return under
    pytest.skip("NOT SHOWN: a process 1 ends on SIGTERM. It takes unshare and the right to use it.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_of_a_container_ends_with_0(begin, container, number):
    """The system gives process 1 no signal that it has no handler for, so it must have them."""
    program = begin("serve", under=container)
    [pid] = wait_for(lambda: children_of(program.popen.pid))
    wait_for(lambda: catches(pid, signal.SIGTERM))
    assert Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    os.kill(pid, number)
    assert program.wait() == 0
