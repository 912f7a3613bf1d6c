"""Pages of a service with something of everything, and of one with nothing."""

from collections.abc import Iterator

import httpx
import pytest

from tests.console.stage import VIEWER, Stage, furnish, staged


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service with something of everything; tests that change anything make their own."""
    with staged(tmp_path_factory.mktemp("stage")) as made:
        furnish(made)
        yield made


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service as if just installed: nothing is in its ledger."""
    with staged(tmp_path_factory.mktemp("bare"), run_worker=False) as made:
        yield made


@pytest.fixture(scope="session")
def admin(stage: Stage) -> Iterator[httpx.Client]:
    """An admin at the console."""
    with stage.visit() as client:
        yield client


@pytest.fixture(scope="session")
def viewer(stage: Stage) -> Iterator[httpx.Client]:
    """A viewer at the console."""
    with stage.visit(VIEWER) as client:
        yield client
