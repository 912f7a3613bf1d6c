"""Replaying and discarding from the list: counted, confirmed, done."""

import re
import sqlite3
from contextlib import closing
from itertools import count

import pytest

from tests.console.test_pages import text_of

_numbers = count(1)


@pytest.fixture
def quiz(stage):
    """An integration whose contacts Cordial refuses, for its mapping."""
    made = stage.create(
        f"Refused {next(_numbers)}",
        cordial={"on_rejected_field": "dead"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "Quiz_Outcome"},
        ],
    )
    yield made
    stage.ops.delete(f"/integrations/{made}?force=true")


def mend(stage, quiz):
    mapping = [{"attribute": "email", "field": "channels.email.address"}]
    answer = stage.ops.patch(f"/integrations/{quiz}", json={"mapping": mapping})
    assert answer.status_code == 200, answer.text


def person(name):
    return {"email": f"{name}@example.com", "opt_in": "true", "outcome": "Bold"}


def confirm(client, page):
    """Submit the form of a page that asks for a confirmation."""
    (address,) = re.findall(r'<form method="post" action="([^"]+)" class="confirm">', page.text)
    (wanted,) = re.findall(r'name="filter" value="([^"]+)"', page.text)
    return client.post(address, data={"filter": wanted.replace("&amp;", "&")})


def test_all_that_match_are_replayed(stage, admin, quiz):
    """First counted, nothing changed; then put back in line, and the list says so."""
    dead = [stage.dead(person(name), quiz) for name in ("una", "vic")]
    mend(stage, quiz)
    query = f"scope=all&status=dead&integration={quiz}"
    asked = admin.get(f"/console/submissions/replay?{query}")
    assert "Replay 2 submissions?" in text_of(asked.text)
    assert stage.ops.get(f"/submissions/{dead[0]}").json()["status"] == "dead"
    done = confirm(admin, asked)
    assert done.status_code == 303
    assert {stage.settled(each)["status"] for each in dead} == {"delivered"}
    followed = admin.get(done.headers["location"])
    assert "2 submissions were put back in line." in text_of(followed.text)
    assert f"integration={quiz}" in done.headers["location"]


def test_the_selected_are_replayed(stage, admin, quiz):
    """Those alone."""
    dead = [stage.dead(person(name), quiz) for name in ("wim", "xia")]
    mend(stage, quiz)
    asked = admin.get(f"/console/submissions/replay?scope=selected&pick={dead[1]}&status=dead")
    assert "Replay 1 submission?" in text_of(asked.text)
    confirm(admin, asked)
    assert stage.settled(dead[1])["status"] == "delivered"
    assert stage.settled(dead[0])["status"] == "dead"


def test_the_dead_are_discarded(stage, admin, quiz):
    """They end as skipped, and whoever did it is written down."""
    dead = stage.dead(person("yan"), quiz)
    asked = admin.get(f"/console/submissions/discard?scope=all&status=dead&integration={quiz}")
    assert "Discard 1 submission?" in text_of(asked.text)
    followed = admin.get(confirm(admin, asked).headers["location"])
    assert "1 submission was discarded." in text_of(followed.text)
    assert stage.settled(dead)["reason"] == "discarded"


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize("until", ["", "&until=2999-01-01T00:00"])
def test_what_comes_in_after_the_count_stays(stage, admin, quiz, verb, until):
    """The button names how many: it does not go on to those that nobody has seen."""
    counted = stage.dead(person("zoe"), quiz)
    query = f"scope=all&status=dead&integration={quiz}{until}"
    asked = admin.get(f"/console/submissions/{verb}?{query}")
    later = stage.dead(person("abe"), quiz)
    mend(stage, quiz)
    assert confirm(admin, asked).status_code == 303
    assert stage.settled(counted)["status"] != "dead"
    assert stage.ops.get(f"/submissions/{later}").json()["status"] == "dead"


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_nothing_selected_changes_nothing(admin, verb):
    """Neither no selection, nor no filter, nor nonsense in their place."""
    for query in ("scope=selected&status=skipped", "status=skipped"):
        led = admin.get(f"/console/submissions/{verb}?{query}").headers["location"]
        assert led == "/console/submissions?status=skipped&done=unselected"
        assert "Nothing is selected" in text_of(admin.get(led).text)
    for query in ("scope=all", "scope=selected&pick=all"):
        assert admin.get(f"/console/submissions/{verb}?{query}").status_code == 422
    for wanted in ("", "x=y", "status=none"):
        answer = admin.post(f"/console/submissions/{verb}", data={"filter": wanted})
        assert answer.status_code == 422


def test_a_change_that_a_locked_ledger_refuses_is_told_as_not_done(stage, admin, quiz):
    """Whoever asked for a change is told that it may not be done; no page repeats it by itself."""
    with closing(sqlite3.connect(stage.ledger, isolation_level=None)) as ledger:
        ledger.execute("BEGIN IMMEDIATE")
        answer = admin.post(f"/console/integrations/{quiz}/pause", timeout=60)
        ledger.execute("ROLLBACK")
    assert answer.status_code == 503, answer.text
    assert "may not be done" in text_of(answer.text)
    assert "Nothing is lost" not in answer.text
    assert "by itself" not in answer.text
