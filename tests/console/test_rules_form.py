"""The editor's form holds every rule of an integration, and changes what somebody typed alone."""

from dataclasses import replace
from typing import get_args
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from app.console.forms import Form
from app.console.rules_form import MOST_ROWS, SPARE_ROWS, RowForm, RulesForm, input_of
from app.console.rules_settings import SETTINGS
from app.ledger.documents import document_of
from app.operations.invalid import Invalid, WrongPlace
from app.rules.integration import EuPolicy, Integration, Sms, merge_patch
from app.rules.mapping import Rule
from tests.conftest import integration_body
from tests.table import table

ELSEWHERE = {"name", "cordial.account_url", "cordial.api_key", "jebbit.webhook_secrets", "mapping"}
"""What is no rule: it is changed on the integration's page, or by the API."""


def integration(**overrides):
    body = integration_body("https://admin.cordial.io", **overrides)
    del body["state"]
    return Integration.model_validate(body)


RICH = {
    "cordial": {
        "sms": {"program": "main", "keyword": None, "address_format": "e164"},
        "identify_by": ["customer_id"],
        "requests_per_second": 0.123456789,
        "on_rejected_field": "dead",
        "suppress_triggers": False,
    },
    "jebbit": {
        "region": None,
        "attributes": {"opt_in": "box", "sms_opt_in": "sms", "session": None},
        "opt_in_labels": {"true": ["Count me in", "Ja, gern"], "false": ["No, thanks"]},
        "campaigns": {"include": ["spring", "2026"], "exclude": ["internal"]},
        "trusted_url_params": ["utm_id"],
        "default_phone_country": "GB",
    },
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone", "field": "channels.sms.address"},
        {"attribute": "colors", "field": "colors", "type": "array", "separator": " "},
        {"attribute": "age", "field": "age", "type": "number", "default": 18},
        {"attribute": "when", "field": "quiz_date", "type": "date"},
        {"attribute": "news", "field": "weekly_deals", "type": "list", "lists_need": "yes"},
        {"attribute": "club", "field": "club", "type": "list", "lists_need": None},
        {"attribute": "story", "field": "story", "too_long": "cut"},
        {"field": "signup_source", "default": "jebbit"},
        {"field": "digits", "default": "0123"},
        {"field": "both", "default": ["a", "b"]},
        {"field": "home.city", "type": "geo", "attribute": " city\nname "},
    ],
    "unmapped": "known",
    "policy": {
        "collect": "eu",
        "opt_in": "everyone",
        "auto_subscribe": False,
        "opt_in_field": "opt_in_status",
        "opt_in_guard": False,
        "resubscribe": "explicit_opt_in",
        "on_opt_out": "unsubscribe",
        "eu": {"opt_in": "opted_in_only", "null_is_consent": True},
    },
}


def sent(form: RulesForm) -> Form:
    """Return what a browser sends of a form: no line break in an input, CRLF in a text area."""
    pairs = {"version": str(form.version), "rows": str(len(form.rows))}
    for number, row in enumerate(form.rows):
        for part in RowForm.__slots__:
            pairs[f"mapping.{number}.{part}"] = getattr(row, part)
    for place, text in form.values.items():
        pairs[place] = text.replace("\n", "\r\n")
    return Form(parse_qs(urlencode(pairs)))


def patched(stored: Integration, form: RulesForm) -> Integration:
    document = document_of(stored)
    return Integration.model_validate(merge_patch(document, form.patch(document)))


def places(model: type[BaseModel], above: str = "") -> set[str]:
    """Return each place of a configuration that holds a value of its own."""
    found = set()
    for name, each in model.model_fields.items():
        options = (each.annotation, *get_args(each.annotation))
        parts = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
        here = above + name
        found |= places(parts[0], f"{here}.") if parts and here != "mapping" else {here}
    return found


def test_every_place_of_the_rules_has_an_input():
    """Whatever is added to the configuration is in the editor, or on the integration's page."""
    assert set(SETTINGS) == places(Integration) - ELSEWHERE
    assert {*RowForm.__slots__} - {"origin"} == set(Rule.model_fields)
    assert {each for each in SETTINGS if input_of(each) != each} == set()


@pytest.mark.parametrize("overrides", [{}, RICH], ids=["plain", "rich"])
def test_what_is_not_touched_is_not_changed(overrides):
    """A form that comes back as it was shown changes nothing."""
    stored = integration(**overrides)
    form = RulesForm.of(document_of(stored), 1)
    assert RulesForm.read(sent(form)).patch(document_of(stored)) == {}


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
rules = st.lists(
    st.fixed_dictionaries(
        {"attribute": texts, "field": texts.map(lambda text: "f" + text.replace(".", ""))},
        optional={"separator": texts, "default": texts.map(lambda text: f"a{text}")},
    ),
    max_size=4,
    unique_by=lambda rule: rule["field"],
)


@given(rules, st.lists(texts, max_size=3), st.none() | texts, st.none() | st.just({}))
def test_any_text_survives(rows, labels, name, eu):
    """Also spaces around it, line breaks, signs that show nothing, and a part that is empty."""
    address = {"attribute": "email", "field": "channels.email.address"}
    stored = integration(
        mapping=[address, *rows],
        jebbit={"campaigns": {"include": labels}, "attributes": {"country": name}},
        policy={"eu": eu},
    )
    form = RulesForm.read(sent(RulesForm.of(document_of(stored), 1)))
    assert patched(stored, form) == stored


CHANNELS = {"cordial.email_channel", "cordial.sms.channel"}  # the mapping's addresses name them
OTHER = {
    "policy.opt_in_field": "said",
    "jebbit.default_phone_country": "DE",
    "cordial.requests_per_second": "2.5",
}


@table("place", sorted(set(SETTINGS) - CHANNELS))
@table("overrides", [{"policy": {"opt_in_field": "kept"}}, RICH])
def test_each_setting_can_be_changed_alone(place, overrides):
    """To another choice or text, and nothing else changes."""
    stored = integration(**overrides)
    document = document_of(stored)
    form = RulesForm.of(document, 1)
    setting, was = SETTINGS[place], form.values[place]
    if setting.kind == "choice":
        to = next(value for value, _ in setting.options if value != was)
    else:
        to = OTHER.get(place, "one\ntwo" if setting.kind == "lines" else "another")
    typed = replace(form, values={**form.values, place: to})
    patch = RulesForm.read(sent(typed)).patch(document)
    changed = Integration.model_validate(merge_patch(document, patch))
    after = RulesForm.of(document_of(changed), 1)
    assert after.values == {**form.values, place: to}
    assert after.rows == form.rows


def test_channels_are_changed_with_the_addresses_that_name_them():
    """Each alone would be refused."""
    stored = integration(**RICH)
    form = RulesForm.of(document_of(stored), 1)
    rows = [replace(form.rows[0], field="channels.mail.address"), *form.rows[1:]]
    values = {**form.values, "cordial.email_channel": "mail"}
    changed = patched(stored, RulesForm.read(sent(replace(form, rows=rows, values=values))))
    assert changed.cordial.email_channel == "mail"
    assert changed.email_attribute == "email"


@pytest.mark.parametrize(
    ("number", "part", "text", "expected"),
    [
        (2, "attribute", "hues", {"attribute": "hues"}),
        (2, "field", "hues", {"field": "hues"}),
        (2, "separator", "; ", {"separator": "; "}),
        (2, "too_long", "cut", {"too_long": "cut"}),
        (3, "type", "string", {"type": "string"}),
        (3, "default", "21", {"default": 21}),
        (3, "default", "", {"default": None}),
        (5, "lists_need", "none", {"lists_need": None}),
        (6, "lists_need", "yes", {"lists_need": "yes"}),
        (8, "attribute", "source", {"attribute": "source"}),
        (10, "field", "all", {"field": "all"}),  # its default stays a list
    ],
)
def test_each_part_of_a_rule_can_be_changed_alone(number, part, text, expected):
    """The rest of the rule stays, whatever it is."""
    stored = integration(**RICH)
    form = RulesForm.of(document_of(stored), 1)
    rows = [*form.rows]
    rows[number] = replace(rows[number], **{part: text})
    changed = patched(stored, RulesForm.read(sent(replace(form, rows=rows))))
    before = [each.model_dump() for each in stored.mapping]
    before[number] |= expected
    assert [each.model_dump() for each in changed.mapping] == before


def test_words_of_two_lines_stay_one_item():
    """Half of them may mean the opposite."""
    labels = {"true": ["I do not want\nto miss it", "Ja\u2028gern"], "false": ["No\r\nthanks"]}
    stored = integration(jebbit={"opt_in_labels": labels})
    form = RulesForm.of(document_of(stored), 1)
    place = "jebbit.opt_in_labels.true"
    typed = replace(form, values={**form.values, place: f"{form.values[place]}\nYes"})
    changed = patched(stored, RulesForm.read(sent(typed))).jebbit.opt_in_labels
    assert changed.true == ["I do not want to miss it", "Ja gern", "Yes"]
    assert changed.false == labels["false"]


def test_as_many_rules_as_it_opens_it_saves():
    """Blank rows count for nothing; of more than it can send, it opens none."""
    rules = [{"attribute": f"a{n}", "field": f"f{n}"} for n in range(MOST_ROWS - 1)]
    full = integration(mapping=[{"attribute": "email", "field": "channels.email.address"}, *rules])
    form = RulesForm.of(document_of(full), 1)
    read = RulesForm.read(sent(form)).with_spare_rows()
    assert read.patch(document_of(full)) == {}
    for number in range(SPARE_ROWS):
        row = RowForm(f"b{number}", f"g{number}")
        read = RulesForm.read(sent(read.with_row(row))).with_spare_rows()
    fuller = document_of(patched(full, read))
    assert len(fuller["mapping"]) == MOST_ROWS + SPARE_ROWS
    assert RulesForm.read(sent(RulesForm.of(fuller, 2))).patch(fuller) == {}
    fuller = {**fuller, "mapping": [*fuller["mapping"], {"attribute": "c", "field": "h"}]}
    with pytest.raises(Invalid, match="The editor holds 1,000 rules"):
        RulesForm.of(fuller, 3)


def test_a_blank_row_is_no_rule_and_places_name_the_row_that_is_seen():
    """A rule that is emptied goes, a blank row before a wrong one counts."""
    stored = integration(**RICH)
    form = RulesForm.of(document_of(stored), 1)
    emptied = replace(form, rows=[*form.rows[:3], RowForm(origin="3"), *form.rows[4:]])
    changed = patched(stored, RulesForm.read(sent(emptied)))
    assert len(changed.mapping) == len(stored.mapping) - 1
    wrong = [WrongPlace("mapping.3.field", "wrong"), WrongPlace("policy", "wrong")]
    told = emptied.places(wrong)
    assert told == [
        ("mapping.4.field", WrongPlace("Rule 5 field", "wrong")),
        ("policy.collect", WrongPlace("policy", "wrong")),
    ]


def test_what_is_absent_shows_its_defaults():
    """SMS and EU rules that are not configured stand in the form as they would be."""
    values = RulesForm.of(document_of(integration()), 1).values
    assert values["cordial.sms.keyword"] == Sms().keyword
    assert values["policy.eu.null_is_consent"] == "no"
    assert values["policy.eu.opt_in"] == (EuPolicy().opt_in or "")
