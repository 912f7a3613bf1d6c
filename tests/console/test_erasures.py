"""Erasing a person from the console."""

from tests.console.test_pages import text_of


def test_a_person_is_counted_then_erased(stage, admin):
    """Nothing is gone before it is confirmed; afterwards it is listed that there was an erasure."""
    quiz = stage.create("Erasing", state="paused")
    (made,) = stage.post({"email": "gus@example.com", "opt_in": "true"}, quiz)
    counted = admin.post("/console/erasures", data={"email": " gus@example.com "})
    assert "1 submission is of this person" in text_of(counted.text)
    assert "Erase 1 submission for good" in text_of(counted.text)
    assert stage.ops.get(f"/submissions/{made}").json()["payload"] is not None
    (other,) = stage.post({"email": "gus@example.com", "opt_in": "no"}, quiz)
    counted = admin.post("/console/erasures", data={"email": "gus@example.com"})
    assert "2 submissions are of this person, or mention them." in text_of(counted.text)
    done = admin.post("/console/erasures", data={"email": "gus@example.com", "sure": "yes"})
    assert done.status_code == 303
    assert "gus" not in done.headers["location"]
    page = text_of(admin.get(done.headers["location"]).text)
    assert "2 submissions were erased." in page
    assert "ops done" in page
    assert "gus@" not in page
    for each in (made, other):
        assert stage.ops.get(f"/submissions/{each}").json()["payload"] is None
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def test_nobody_is_told(admin):
    """Somebody unknown, and what is no address; what was typed stays in the form."""
    unknown = admin.post("/console/erasures", data={"email": "nobody@example.com"})
    assert "No submission is of this person" in unknown.text
    assert "Erase whatever else is kept" in unknown.text
    wrong = admin.post("/console/erasures", data={"email": "not an address", "phone": "x"})
    assert wrong.status_code == 422
    assert 'value="not an address"' in wrong.text
    assert 'id="phone-wrong"' in wrong.text
    half = {"email": "gus@example.com", "phone": "12"}  # which of the two it is, is told beside it
    wrong = admin.post("/console/erasures", data=half).text
    assert 'id="phone-wrong">This is no phone number.' in wrong
    assert 'id="email-wrong"' not in wrong
    assert 'value="gus@example.com"' in wrong
    assert admin.post("/console/erasures").status_code == 422


def test_only_an_admin_erases(viewer):
    """Nor does a viewer see the page, or a link to it."""
    assert viewer.get("/console/erasures").status_code == 403
    assert viewer.post("/console/erasures", data={"email": "a@example.com"}).status_code == 403
    assert "/console/erasures" not in viewer.get("/console").text


def test_an_empty_list_says_so(bare):
    """None yet."""
    with bare.visit() as client:
        assert "None yet." in client.get("/console/erasures").text
