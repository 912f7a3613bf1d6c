"""What the tests of the rules share: an integration, made by naming only what matters."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.rules.integration import Integration

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def make_body() -> Make:
    """The smallest body an API client can post, each section extended by what a test names."""

    def make(
        *,
        cordial: Mapping[str, Any] | None = None,
        jebbit: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        return {
            "name": "Spring quiz",
            "cordial": {
                "account_url": "https://admin.cordial.io",
                "api_key": "cordial-key-0001",
                **(cordial or {}),
            },
            "jebbit": {"webhook_secrets": ["jebbit-secret-0001"], **(jebbit or {})},
            "policy": {
                "collect": "both",
                "opt_in": "opted_in_or_null",
                "auto_subscribe": True,
                **(policy or {}),
            },
            **rest,
        }

    return make


@pytest.fixture(scope="session")
def make_integration(make_body: Make) -> Make:
    """An integration of such a body."""

    def make(**sections: Any) -> Integration:
        return Integration.model_validate(make_body(**sections))

    return make
