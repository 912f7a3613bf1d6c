"""What the Dockerfile does, without Docker: `make image-check`.

The environment is made in a clean folder by the Dockerfile's own commands. The service runs in it
with the Dockerfile's settings, as its user where root asks, and may write to `/data` alone. What is
not tried is the base image: this machine's Python is taken instead.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.serving import free_port
from tests.processes import ROOT
from tests.waiting import wait_for

_DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
_BUILD, _, _IMAGE = _DOCKERFILE.partition("\nFROM ")[2].partition("\nFROM ")


def of_image(instruction: str) -> str:
    """Return what the Dockerfile gives an instruction of the image itself, the last one."""
    return re.findall(rf"^{instruction} (.*)$", _IMAGE, re.MULTILINE)[-1].strip()


def settings(service: Path, data: Path) -> dict[str, str]:
    """Return the image's environment, with its two folders where they are here."""
    pairs = re.findall(r"(\w+)=(\S+)", of_image("ENV"))
    moved = {name: value.replace("/data", str(data)) for name, value in pairs}
    moved["PATH"] = f"{service}/.venv/bin:{os.environ.get('PATH', os.defpath)}"
    return {**moved, "HOST": "127.0.0.1", "PORT": str(free_port())}


def build(service: Path) -> None:
    """Make the environment and copy the program, as the Dockerfile does."""
    for name in re.findall(r"COPY (pyproject\.toml) (uv\.lock)", _DOCKERFILE)[0]:
        shutil.copy(ROOT / name, service)
    [command] = re.findall(r"^RUN (uv sync .*)$", _DOCKERFILE, re.MULTILINE)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",  # its uv
        "UV_LINK_MODE": "copy",
        "UV_PYTHON": str(everybodys_python()),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PROJECT_ENVIRONMENT": ".venv",
    }
    done = subprocess.run(["sh", "-c", command], cwd=service, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    shutil.copytree(ROOT / "app", service / "app", ignore=shutil.ignore_patterns("__pycache__"))


def everybodys_python() -> Path:
    """Return a Python that the image's user may run: ours, or else the system's."""
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    for each in (sys.executable, *([system] if system else [])):
        found = Path(each).resolve()
        if os.getuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in found.parents):
            return found
    raise SystemExit("no Python here that another user than root may run")


def protect(root: Path, service: Path, data: Path) -> list[str]:
    """Leave `data` alone to write to; return what starts a program as the image's user."""
    user, group = of_image("USER").split(":")
    root.chmod(0o755)  # to be passed through
    if os.getuid() != 0:
        subprocess.run(["chmod", "-R", "a-w", service], check=True)
        return []
    os.chown(data, int(user), int(group))
    data.chmod(0o700)
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Run the image's command, and end it as Docker does; it must end with 0."""
    signals = of_image("STOPSIGNAL")
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder / "service", env=environment, stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{environment['PORT']}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/readyz").is_success
        except httpx.TransportError:
            return False

    try:
        wait_for(ready, timeout=60, what="ready")
        yield url
        process.send_signal(signal.Signals[signals])
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def written(root: Path, since: float) -> list[Path]:
    """Return what has changed since then."""
    return [each for each in root.rglob("*") if each.lstat().st_mtime > since]


def main() -> None:
    """Go through it, and say what was found."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        service, data = root / "service", root / "data"
        service.mkdir()
        data.mkdir()
        started = time.monotonic()
        build(service)
        version = of_version(service)
        print(f"built from uv.lock in {time.monotonic() - started:.0f} s, {version}")
        packages = {each.name.split("-")[0] for each in service.glob(".venv/lib/*/site-packages/*")}
        assert "uvicorn" in packages
        assert not packages & {"pytest", "mypy", "ruff", "playwright"}, "it holds what tests need"
        loose = [each for each in service.rglob("*") if each.lstat().st_mode & 0o022]
        assert not [each for each in loose if not each.is_symlink()], "others may write to it"
        start, environment = protect(root, service, data), settings(service, data)
        began = time.time()
        with running([*start, *json.loads(of_image("CMD"))], environment, root) as url:
            probe = json.loads(re.findall(r"HEALTHCHECK.* CMD (\[.*\])", _IMAGE)[0])
            subprocess.run(probe, env=environment, check=True, timeout=10)
            assert httpx.get(f"{url}/docs").is_success
            user = Path("/proc/self").owner() if not start else of_image("USER")
            print(f"serves as {user}, answers its probe, ends with 0")
        changed = {each.relative_to(root).parts[0] for each in written(root, began)}
        assert changed == {"data", "log"}, f"written besides: {changed}"
        print(f"wrote to /data alone: {', '.join(sorted(each.name for each in data.iterdir()))}")
        subprocess.run(["chmod", "-R", "u+w", root], check=True)


def of_version(service: Path) -> str:
    """Return the Python that the environment has."""
    shown = [
        service / ".venv/bin/python",
        "-c",
        "import sys; print(*sys.version_info[:3], sep='.')",
    ]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
