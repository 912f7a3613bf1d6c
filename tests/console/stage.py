"""A service with something of everything in its ledger, for the tests of pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from app.main import create_app
from app.sandbox.samples import SAMPLES
from app.sandbox.server import create_sandbox
from app.serving import serving
from app.settings import Settings
from tests.conftest import OPS_TOKEN, SECRET_KEY, integration_body, signed
from tests.waiting import wait_for

VIEWER, SCRAPER = "viewer-token-of-the-tests", "scraper-token-of-the-tests"

SITUATIONS = (
    *("opted_in", "null_opt_in", "eu_null_opt_in", "opted_out", "unclear_opt_in", "eu_opted_in"),
    *("sms_opted_in", "batch_with_one_unreadable", "every_type", "hashed_email", "address_in_url"),
)
REFUSED = {"email": "rita@example.com", "opt_in": "true", "country_code": "US", "outcome": "Bold"}


@dataclass
class Stage:
    """A running service; `ops` calls its API, `visit` signs somebody in at the console."""

    url: str
    app: FastAPI
    ops: httpx.Client
    sandbox: Any
    account_url: str
    settings: Settings
    token: str = OPS_TOKEN

    @property
    def ledger(self) -> str:
        """The file of the ledger."""
        return self.settings.database_url.removeprefix("sqlite:///")

    @contextmanager
    def visit(self, token: str = OPS_TOKEN) -> Iterator[httpx.Client]:
        """Give a client with a session, that says where it comes from as a browser does."""
        with httpx.Client(base_url=self.url, headers={"origin": self.url}) as client:
            answer = client.post("/console/sign-in", data={"token": token})
            assert answer.status_code == 303, answer.text
            yield client

    def create(self, name: str, **overrides: Any) -> str:
        """Create an integration by the API; return its id."""
        body = integration_body(self.account_url, name=name, **overrides)
        answer = self.ops.post("/integrations?force=true", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def post(self, body: Any, integration: str = "spring-quiz", **how: Any) -> list[str]:
        """Post a signed webhook; return the ids of its submissions."""
        answer = self.ops.post(f"/webhooks/jebbit/{integration}", **signed(body, **how))
        assert answer.status_code in (202, 400), answer.text
        return list(answer.json().get("submissions", []))

    def refuse(self, body: Any, integration: str) -> None:
        """Post a webhook with a wrong signature."""
        how = signed(body, secret="another-secret-of-somebody")
        assert self.ops.post(f"/webhooks/jebbit/{integration}", **how).status_code == 401

    def settled(self, submission_id: str) -> dict[str, Any]:
        """Return a submission once it is settled."""

        def found() -> Any:
            shown = self.ops.get(f"/submissions/{submission_id}").json()
            return shown if shown["status"] != "pending" else None

        return dict(wait_for(found, 10, f"submission {submission_id}"))

    def dead(self, body: Any = REFUSED, integration: str = "strict") -> str:
        """Return a submission that Cordial refused."""
        (made,) = self.post(body, integration)
        assert self.settled(made)["status"] == "dead"
        return made


@contextmanager
def staged(folder: Path, **settings: Any) -> Iterator[Stage]:
    """Run a service on a ledger of its own, with a Cordial of its own."""
    cordial = create_sandbox()
    with serving(cordial) as account_url:
        chosen = Settings(
            _env_file=None,
            **{
                "database_url": f"sqlite:///{folder / 'ledger.db'}",
                "data_dir": folder,
                "secret_key": SECRET_KEY,
                "ops_token": OPS_TOKEN,
                "ops_tokens": f"vera:viewer:{VIEWER},prometheus:metrics:{SCRAPER}",
                "cordial_extra_hosts": account_url.removeprefix("http://"),
                **settings,
            },
        )
        app = create_app(chosen)
        headers = {"authorization": f"Bearer {OPS_TOKEN}"}
        with serving(app) as url, httpx.Client(base_url=url, headers=headers) as ops:
            yield Stage(url, app, ops, cordial.state.sandbox, account_url, chosen)


def furnish(stage: Stage) -> None:
    """Let there be an integration that sends, one that refuses fields, one that is paused."""
    stage.create("Spring quiz", jebbit={"attributes": {"sms_opt_in": "sms_opt_in"}})
    stage.create(
        "Strict",
        cordial={"on_rejected_field": "dead"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "Quiz_Outcome"},
        ],
    )
    stage.create("Paused", state="paused")
    stage.ops.patch("/integrations/paused", json={"policy": {"opt_in": "opted_in_only"}})
    made = [each for name in SITUATIONS for each in stage.post(SAMPLES[name])]
    made += stage.post({**REFUSED, "email": "test@example.com"}, headers={"x-jebbit-test": "true"})
    made += stage.post(REFUSED, "strict")
    for each in made:
        stage.settled(each)
    stage.post({"email": "wanda@example.com", "opt_in": "true"}, "paused")
    stage.post({"email": "wanda@example.com", "opt_in": "no"}, "paused")
