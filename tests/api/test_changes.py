"""Every version of an integration is kept, tells who made it, and can be brought back."""

import pytest

from tests.api.conftest import problem

MAPPING = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "outcome", "field": "quiz_outcome"},
]


def changes(shared, quiz, **query):
    answer = shared.client.get(f"/integrations/{quiz}/changes", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_version_says_who_made_it_and_what_differs(shared, quiz, clock):
    """The newest first; rules of the mapping are told apart by their fields."""
    path = f"/integrations/{quiz}"
    version = shared.client.get(path).json()["version"]
    clock.fixed = 1_800_000_000.0
    mapping = [
        {"attribute": "age", "field": "age", "type": "number"},
        MAPPING[0],
        {**MAPPING[1], "default": "none"},
    ]
    patch = {"mapping": mapping, "policy": {"opt_in": "opted_in_only"}}
    assert shared.client.patch(path, json=patch).status_code == 200
    newest, first = changes(shared, quiz)["changes"]
    assert (first["version"], first["kind"], first["differences"]) == (version, "created", [])
    assert (newest["version"], newest["kind"], newest["by"]) == (version + 1, "changed", "ops")
    assert newest["at"] == "2027-01-15T08:00:00+00:00"
    found = {each["place"]: (each["before"], each["after"]) for each in newest["differences"]}
    assert found.pop("mapping[age]")[0] is None
    assert found == {
        "mapping[quiz_outcome].default": (None, "none"),
        "policy.opt_in": ("opted_in_or_null", "opted_in_only"),
    }


def test_versions_come_page_by_page(shared, quiz):
    """Each once, also where they fill the last page."""
    for n in range(3):
        shared.client.patch(f"/integrations/{quiz}", json={"name": f"Name {n}"})
    whole = changes(shared, quiz)["changes"]
    assert len(whole) == 4
    found, cursor = [], {}
    while cursor is not None:
        page = changes(shared, quiz, limit=2, **cursor)
        found += page["changes"]
        cursor = {"cursor": page["cursor"]} if page["cursor"] else None
    assert found == whole


def test_any_two_versions_can_be_compared(shared, quiz):
    """With what holds now, or with another; `after` is what the version asked for has."""
    path = f"/integrations/{quiz}"
    first = shared.client.get(path).json()["version"]
    for name in ("Second", "Third"):
        shared.client.patch(path, json={"name": name})

    def names(version, **query):
        shown = shared.client.get(f"{path}/changes/{version}", params=query).json()
        (name,) = [each for each in shown["differences"] if each["place"] == "name"]
        assert shown["configuration"]["name"] == name["after"]
        return name["before"], name["after"]

    assert names(first + 1) == ("Third", "Second")
    assert names(first + 2, against=first + 1) == ("Second", "Third")
    same = shared.client.get(f"{path}/changes/{first + 2}").json()
    assert same["differences"] == []


def test_no_version_shows_a_secret(shared, quiz):
    """Not even one that is used no more."""
    path = f"/integrations/{quiz}"
    version = shared.client.get(path).json()["version"]
    old, new = "whsec-0123456789abcdef", "whsec-another-98765432"
    shared.client.post(f"{path}/webhook-secrets", json={"secret": new})
    shared.client.delete(f"{path}/webhook-secrets/cdef")
    shown = (
        shared.client.get(f"{path}/changes").text
        + shared.client.get(f"{path}/changes/{version}").text
    )
    assert "****cdef" in shown
    assert "****5432" in shown
    assert old not in shown
    assert new not in shown


def test_an_earlier_version_is_brought_back_as_a_new_one(shared, quiz):
    """Its secrets are those of today: what was rotated away stays away."""
    path = f"/integrations/{quiz}"
    before = shared.client.get(path).json()
    patch = {"name": "Other", "policy": {"eu": {"opt_in": "opted_in_only"}}, "unmapped": "known"}
    shared.client.patch(path, json=patch)
    shared.client.post(f"{path}/webhook-secrets", json={"secret": "whsec-another-98765432"})
    now = shared.client.get(path)
    restored = shared.client.post(
        f"{path}/changes/{before['version']}/restore", headers={"if-match": now.headers["etag"]}
    )
    assert restored.status_code == 200, restored.text
    after = restored.json()
    assert after["version"] == now.json()["version"] + 1
    assert restored.headers["etag"] == f'"{after["version"]}"'
    for part in ("name", "policy", "unmapped", "mapping"):
        assert after[part] == before[part]
    assert len(after["jebbit"]["webhook_secrets"]) == 2
    newest = changes(shared, quiz)["changes"][0]
    assert (newest["kind"], newest["restores"]) == ("restored", before["version"])


def test_a_version_is_brought_back_under_the_rules_of_a_change(shared, create, sandbox_server):
    """412 where it changed meanwhile, 409 where the check finds errors, 422 for another host."""
    quiz = create(
        state="paused",
        cordial={"account_url": "https://admin.cordial.io", "api_key": "key-of-the-old-account"},
        mapping=[*MAPPING, {"attribute": "x", "field": "no_such_field"}],
    )
    path = f"/integrations/{quiz}"
    first = shared.client.get(path).json()["version"]
    restore = f"{path}/changes/{first}/restore"
    account = {"account_url": sandbox_server.url, "api_key": "sandbox-key"}
    shared.client.patch(path, json={"cordial": account})
    told = problem(shared.client.post(restore), 422)
    assert [each["place"] for each in told["errors"]] == ["cordial.api_key"]
    second = first + 1
    shared.client.patch(path, json={"mapping": MAPPING})
    restore = f"{path}/changes/{second}/restore"
    problem(shared.client.post(restore, headers={"if-match": f'"{second}"'}), 412)
    assert shared.client.post(f"{path}/resume").status_code == 200
    problem(shared.client.post(restore), 409)
    assert len(shared.client.get(path).json()["mapping"]) == 2
    assert shared.client.post(f"{restore}?force=true").status_code == 200


def test_what_was_there_before_versions_were_kept_is_shown_too(shared, quiz, monkeypatch):
    """Nobody knows who made it; the first change keeps it."""
    with monkeypatch.context() as patched:  # as a replica of the version before does it
        patched.setattr("app.ledger.changes.keep", nothing)
        shared.client.patch(f"/integrations/{quiz}", json={"name": "By an older replica"})
    shared.client.patch(f"/integrations/{quiz}", json={"name": "By this one"})
    kinds = [each["kind"] for each in changes(shared, quiz)["changes"]]
    assert kinds == ["changed", "found", "created"]
    told = changes(shared, quiz)["changes"]
    assert told[0]["differences"] == [
        {"place": "name", "before": "By an older replica", "after": "By this one"}
    ]
    assert told[1]["by"] is None


async def nothing(*args):
    """Keep no version."""


@pytest.mark.parametrize("path", ["changes", "changes/1", "changes/1/restore"])
def test_an_unknown_integration_has_no_versions(shared, path):
    method = "POST" if "restore" in path else "GET"
    problem(shared.client.request(method, f"/integrations/nobody/{path}"), 404)


def test_an_unknown_version_is_told(shared, quiz):
    for method, path in (("GET", "changes/1"), ("POST", "changes/1/restore")):
        told = problem(shared.client.request(method, f"/integrations/{quiz}/{path}"), 404)
        assert "no version 1" in told["detail"]
