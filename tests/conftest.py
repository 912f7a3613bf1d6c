"""What every test shares."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"
