"""An integration, as far as the law goes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.rules.oracle.folding import fold_key, fold_word


class Terms(NamedTuple):
    """What a policy says for the people of one region."""

    opt_in: str
    auto_subscribe: bool
    resubscribe: str
    on_opt_out: str
    null_is_consent: bool


_KEYS: dict[Any, int] = {}


class Source:
    """What an integration's body says, with what its API would add where it is silent."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        jebbit, policy, cordial = config["jebbit"], config["policy"], config["cordial"]
        names = jebbit.get("attributes", {})
        self.opt_in = names.get("opt_in", "opt_in")
        self.sms_opt_in = names.get("sms_opt_in")
        self.country = names.get("country", "country_code")
        self.region = names.get("region", "aws_region")
        self.occurred_at = names.get("occurred_at", "experience_date")
        self.campaign = (
            names.get("campaign_id", "campaign_id"),
            names.get("campaign_name", "campaign_name"),
        )
        self.own_region = jebbit.get("region", "us")
        self.trusted = frozenset(map(fold_key, jebbit.get("trusted_url_params", [])))
        self.labels = {"true": [], "false": [], **jebbit.get("opt_in_labels", {})}
        campaigns = jebbit.get("campaigns", {})
        self.included = frozenset(map(fold_word, campaigns.get("include", [])))
        self.excluded = frozenset(map(fold_word, campaigns.get("exclude", [])))
        sms = cordial.get("sms") or {}
        self.email_channel = cordial.get("email_channel", "email")
        self.sms_channel = sms.get("channel", "sms")
        self.program = sms.get("program")
        self.address_format = sms.get("address_format", "digits")
        self.mapping = config.get(
            "mapping", [{"attribute": "email", "field": "channels.email.address"}]
        )
        self.email = self._attribute(self.email_channel)
        self.phone = self._attribute(self.sms_channel)
        self.lists = {
            rule["field"]: rule.get("lists_need", "not_no")
            for rule in self.mapping
            if rule.get("type") == "list"
        }
        self.joined_by = {
            rule["field"]: rule.get("attribute")
            for rule in self.mapping
            if rule.get("type") == "list"
        }
        read_by = (
            *(self.opt_in, self.sms_opt_in, self.country, self.region, self.occurred_at),
            *(self.own_region, self.trusted, self.campaign, self.included, self.excluded),
            *(self.email, self.phone, str(self.labels), str(self.joined_by)),
        )
        self.key = _KEYS.setdefault(read_by, len(_KEYS))  # the same where all is read alike
        self.collect = policy["collect"]
        self.opt_in_guard = policy.get("opt_in_guard", True)
        self.opt_in_field = policy.get("opt_in_field")
        eu = policy.get("eu") or {}
        base = {"resubscribe": "never", "on_opt_out": "leave", **policy}
        said = {key: value for key, value in eu.items() if value is not None}
        self.elsewhere = _terms(base, False)
        self.in_eu = _terms(base | said, bool(eu.get("null_is_consent")))

    def _attribute(self, channel: str) -> str | None:
        field = f"channels.{channel}.address"
        return next((rule["attribute"] for rule in self.mapping if rule["field"] == field), None)


def _terms(policy: Mapping[str, Any], null_is_consent: bool) -> Terms:
    names = ("opt_in", "auto_subscribe", "resubscribe", "on_opt_out")
    return Terms(*(policy[name] for name in names), null_is_consent)
