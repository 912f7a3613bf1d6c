"""Other programs can use the API as it describes itself: by clients generated from it.

The generators come from `make clients`; without them these tests are skipped, and say so.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings
from tests.conftest import WEBHOOK_SECRET, Service, post_webhook

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = HERE / "node_modules" / ".bin"
PYTHON = ROOT / ".venv.clients" / "bin"

OPTIONAL = ["--default-non-nullable", "false"]  # what has a default may be left out

needs_node = pytest.mark.skipif(
    not (NODE / "redocly").exists() or shutil.which("node") is None,
    reason="NO NODE TOOLS: run make clients, which wants npm",
)
needs_python = pytest.mark.skipif(
    not (PYTHON / "openapi-python-client").exists(), reason="NO GENERATOR: run make clients"
)


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's description, in a file."""
    file = tmp_path_factory.mktemp("description") / "openapi.json"
    file.write_text(json.dumps(create_app(Settings(_env_file=None)).openapi()))
    return file


@pytest.fixture
def running(service: Callable[..., Service]) -> Service:
    return service()


def run(*command: Any, cwd: Path = HERE) -> None:
    """Run a tool; what it says is shown if it fails."""
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_node
@pytest.mark.parametrize(
    "linter",
    [
        ["redocly", "lint", "--config", "redocly.yaml"],
        ["spectral", "lint", "--ruleset", ".spectral.yaml", "--fail-severity", "hint"],
    ],
    ids=lambda each: each[0],
)
def test_linters_find_nothing_in_the_description(description, linter):
    """Nothing at all, hints included."""
    run(NODE / linter[0], *linter[1:], description)


def walked(command: Sequence[Any], running: Service, cwd: Path) -> None:
    """Run a walk; between its lines, Jebbit posts a webhook to the address that it prints."""
    arguments = [running.url, running.token, running.account_url, WEBHOOK_SECRET]
    with subprocess.Popen(
        list(map(str, [*command, *arguments])),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as walk:
        assert walk.stdout is not None
        address = walk.stdout.readline().strip()
        if address:
            person = {"email": "ann@example.com", "opt_in": "true"}
            answer = post_webhook(running.url, person, address.rpartition("/")[2])
            assert answer.status_code == 202, answer.text
        _, said = walk.communicate("posted\n", timeout=60)
    assert walk.returncode == 0, said


@needs_python
def test_a_generated_python_client_sets_an_integration_up(description, running, tmp_path):
    """Generated without a warning, it creates, checks, resumes, and finds what was delivered."""
    generated = tmp_path / "generated"
    run(
        *(PYTHON / "openapi-python-client", "generate", "--path", description),
        *("--output-path", generated, "--meta", "none", "--config", HERE / "generator.yaml"),
        "--fail-on-warning",
    )
    run(PYTHON / "python", "-m", "compileall", "-q", generated)
    shutil.copy(HERE / "walk.py", tmp_path)
    walked([PYTHON / "python", tmp_path / "walk.py"], running, tmp_path)


@needs_node
def test_a_generated_typescript_client_sets_an_integration_up(description, running, typescript):
    """It compiles under `strict`, and walks the same way."""
    run(NODE / "openapi-typescript", description, "-o", typescript / "generated.ts", *OPTIONAL)
    run(NODE / "tsc", "--project", typescript / "tsconfig.json")
    walked(["node", typescript / "walk.js"], running, typescript)


@pytest.fixture
def typescript(tmp_path: Path) -> Path:
    """A folder for the client, with the packages it needs in reach."""
    for name in ("walk.ts", "tsconfig.json", "package.json"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    return tmp_path
