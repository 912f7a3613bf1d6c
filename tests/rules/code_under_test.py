"""The service's rules as the law asks them: a webhook in, what would be sent to Cordial out."""

import importlib
from collections.abc import Mapping
from typing import Any

from tests.rules.oracle import Law, When


class Rules:
    """The rules as they stand, or with a breach: whatever `app` is imported when this is made."""

    def __init__(self) -> None:
        submission = importlib.import_module("app.jebbit.submission")
        planning = importlib.import_module("app.rules.plan")
        self._parse, self._plan, self._skip = submission.parse, planning.plan, planning.Skip
        self._integration = importlib.import_module("app.rules.integration").Integration
        jurisdictions = importlib.import_module("app.rules.jurisdictions")
        self._jurisdictions = jurisdictions.Jurisdictions
        self._known = {Law(): jurisdictions.DEFAULT_JURISDICTIONS}
        self._refusals = importlib.import_module("app.rules.policy").Refusals

    def read(self, text: str) -> Any:
        """Return the one submission of a webhook."""
        (item,) = self._parse(text.encode())
        return item.submission

    def integration(self, body: Mapping[str, Any]) -> Any:
        """Return an integration as its API would make it."""
        return self._integration.model_validate(body)

    def plan(
        self, submission: Any, integration: Any, when: When, law: Law, account: Any = None
    ) -> Mapping[str, Any] | None:
        """Return the body that would be sent to Cordial; None where nothing would."""
        made = self._plan(
            submission,
            integration,
            received_at=when.received_at,
            now=when.now,
            delivered_before=when.delivered_before,
            stale=when.stale,
            refusals=self._refusals(when.email_refused_at, when.sms_refused_at),
            jurisdictions=self._jurisdictions_of(law),
            account_attributes=account,
            opt_in_missing=when.opt_in_missing,
        )
        return None if isinstance(made, self._skip) else made.body

    def _jurisdictions_of(self, law: Law) -> Any:
        if law not in self._known:
            self._known[law] = self._jurisdictions(
                eu_countries=law.eu, express_consent_countries=law.express
            )
        return self._known[law]
