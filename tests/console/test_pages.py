"""Every page in every state; a name that a template misses would be an error."""

import html
import re

import pytest

from app.console import words
from app.ledger.erasure import ERASED
from app.ledger.replays import DISCARDED
from app.ledger.schema import DeadReason
from app.rules.policy import SkipReason
from tests.console.stage import VIEWER, staged


def text_of(page: str) -> str:
    """Return what a reader sees of a page, roughly."""
    body = re.sub(r"(?s)<(script|style|svg).*?</\1>|<[^>]+>", " ", page)
    return " ".join(body.split())


def test_every_reason_has_words():
    """What happened, and what to do."""
    assert set(words.REASONS) == {*SkipReason, *DeadReason, ERASED, DISCARDED}


def test_the_overview_says_first_what_needs_somebody(admin):
    """The dead by reason, and what waits for a person; each with the page where to do something."""
    page = admin.get("/console")
    assert page.status_code == 200
    said = text_of(page.text)
    assert "things need somebody" in said
    assert "1 dead submission of Strict: rejected by Cordial" in said
    assert "Paused is paused while 2 submissions wait" in said
    assert (
        "/console/submissions?integration=strict&amp;status=dead&amp;reason=rejected" in page.text
    )


def test_the_overview_says_what_has_drifted_and_where_it_is_mended(tmp_path):
    """In words, the opt-in first: silence is no longer taken for a yes."""
    with staged(tmp_path, run_worker=False) as stage, stage.visit() as admin:
        quiz = stage.create("Drifting")
        asked = {"email": "ono@example.com", "opt_in": "true", "outcome": "Bold"}
        stage.post([asked, *({"email": f"o{n}@example.com"} for n in range(200))], quiz)
        page = admin.get("/console").text
        said = text_of(page)
        assert "2 things need somebody" in said
        assert said.index("Drifting no longer gets opt_in") < said.index("no longer gets outcome")
        assert "nobody is subscribed by silence" in said
        editor = admin.get(f"/console/integrations/{quiz}/rules").text
        mend = rf'href="/console/integrations/{quiz}/rules#([\w.]+)">Mend the rules'
        inputs = re.findall(mend, page)
        assert inputs == ["jebbit.attributes.opt_in", "mapping.1.attribute"]
        assert all(f'name="{each}"' in editor and f'id="{each}"' in editor for each in inputs)
        assert "It no longer gets outcome" in admin.get(f"/console/integrations/{quiz}").text
        with stage.visit(VIEWER) as viewer:
            page = viewer.get("/console").text
        assert "Mend the rules" not in page
        assert page.count(f'href="/console/integrations/{quiz}">Look') == 2
        found = admin.post(f"/console/integrations/{quiz}/check").text
        assert 'href="#rule-1"' in found
        assert "Drifting no longer gets outcome" in text_of(found)
        stage.ops.post(f"/integrations/{quiz}/pause").raise_for_status()
        assert "no longer gets" not in admin.get("/console").text


def test_an_empty_service_teaches_the_next_step(bare):
    """The overview and each list."""
    with bare.visit() as client:
        assert "No integration yet" in client.get("/console").text
        assert "No integration yet" in client.get("/console/integrations").text
        assert "Nothing came in yet" in client.get("/console/submissions").text
        assert "Nothing matches" in client.get("/console/submissions?status=dead").text


def rows(page: str) -> list[str]:
    return re.findall(r'data-row href="[^"]*/submissions/([0-9a-f]{32})"', page)


@pytest.mark.parametrize(
    "query",
    [
        *("", "status=dead", "status=skipped&reason=opted_out", "integration=paused"),
        *(
            "status=pending",
            "status=delivered",
            "status=test",
            "since=24h",
            "since=1h&until=2100-01-01",
        ),
        *("contact=wanda@example.com", "reason=rejected"),
    ],
)
def test_the_list_shows_what_the_api_shows(stage, admin, query):
    """The same submissions in the same order, by the same filters in the address."""
    api = query.replace("since=24h", "since=2020-01-01").replace("since=1h&", "since=2020-01-01&")
    shown = stage.ops.get(f"/submissions?limit=50&{api}").json()["submissions"]
    page = admin.get(f"/console/submissions?{query}")
    assert page.status_code == 200
    assert rows(page.text) == [each["id"] for each in shown]
    if not shown:
        assert "Nothing matches" in page.text
        assert 'href="/console/submissions">Clear all filters' in page.text


def test_each_filter_leads_to_as_many_as_it_says(admin):
    """Every link with a count, followed from the whole list and from the skipped."""
    link = re.compile(
        r'<li><a href="([^"]+)"[^>]*>[^<]* <span class="count">([\d,]+)</span></a></li>'
    )
    followed = 0
    for start in ("/console/submissions", "/console/submissions?status=skipped"):
        for address, number in link.findall(admin.get(start).text):
            page = admin.get(address.replace("&amp;", "&")).text
            assert len(rows(page)) == min(int(number), 50), address  # 50 on a page
            followed += 1
    assert followed > 20


@pytest.mark.parametrize(
    "query",
    [
        *("status=none", "since=yesterday", "until=2026-13-01", "contact=nobody", "reason=A%20B"),
        *("integration=nobody", "reason=rejectd", "since=1h&until=2h"),
        *("id=1", "before=x", "before=99999999999999999999", "integration=%00", "since=0001-01-01"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_told(admin, query):
    """In the list's place, with a way out; never as a defect."""
    page = admin.get(f"/console/submissions?{query}")
    assert page.status_code in (200, 404, 422)
    if page.status_code != 200:
        assert "The list cannot be shown" in page.text
        assert 'href="/console/submissions">Clear the filters' in page.text


def test_a_long_list_has_pages(stage, admin):
    """Older, then back to the newest; none is left out and none comes twice."""
    quiz = stage.create("Long list", state="paused")
    bodies = [{"email": f"p{n}@example.com", "opt_in": "true"} for n in range(60)]
    stage.post(bodies, quiz)
    first = admin.get(f"/console/submissions?integration={quiz}").text
    assert "60 submissions" in first
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = admin.get(older.replace("&amp;", "&")).text
    assert "Newest" in second
    assert len(set(rows(first) + rows(second))) == 60
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def test_find_leads_to_what_was_typed(stage, admin):
    """An id, an integration by its name or a part of it, else whoever has the address."""
    (one, *_) = rows(admin.get("/console/submissions").text)
    for typed, leads_to in (
        (one, f"/console/submissions/{one}"),
        ("Spring Quiz", "/console/integrations/spring-quiz"),
        ("spring", "/console/integrations/spring-quiz"),
        ("r", "/console/submissions?contact=r"),  # several have it
        ("5", "/console/submissions?contact=5"),
        ("ann@example.com", "/console/submissions?contact=ann%40example.com"),
        ("  ", "/console/submissions"),
    ):
        answer = admin.get("/console/find", params={"q": typed})
        assert answer.headers["location"] == leads_to
    told = text_of(admin.get("/console/submissions", params={"contact": one[-8:]}).text)
    assert f"“{one[-8:]}” is neither an email address nor a phone number" in told
    assert "A submission is found by its whole id, of which lists show the end" in told


def test_times_are_in_the_readers_zone_and_in_utc(admin):
    """The zone is named; one that is none counts as UTC."""
    for zone, name in (("Asia/Tokyo", "JST"), ("no/where", ""), ("../etc/passwd", "")):
        cookie = f"console_zone={zone}; console_session={admin.cookies['console_session']}"
        page = admin.get("/console/submissions", headers={"cookie": cookie}).text
        titles = re.findall(r'<time datetime="[^"]+" title="([^"]+)"', page)
        assert titles
        assert all(each.endswith(" UTC") and name in each for each in titles)
        assert f'<span class="zone">{zone if name else "UTC"}</span>' in page


def test_a_viewer_is_offered_no_change(viewer):
    """Neither ticks nor buttons; and the pages that lead to changes are closed."""
    page = viewer.get("/console/submissions?status=dead").text
    assert rows(page)
    assert "checkbox" not in page
    assert "Replay" not in page
    for path in (
        "/console/submissions/replay?scope=all&status=dead",
        "/console/submissions/discard",
    ):
        assert viewer.get(path).status_code == 403
        assert viewer.post(path, data={"filter": "status=dead"}).status_code == 403


def test_the_file_has_what_the_list_shows(stage, admin):
    """All rows, times in UTC and in the reader's zone."""
    cookie = f"console_zone=Asia/Tokyo; console_session={admin.cookies['console_session']}"
    answer = admin.get("/console/submissions.csv?status=skipped", headers={"cookie": cookie})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    head, *lines = answer.text.removeprefix("\ufeff").splitlines()
    assert "received (UTC),received (Asia/Tokyo)" in head
    shown = stage.ops.get("/submissions?status=skipped&limit=200").json()["submissions"]
    assert [each.split(",")[0] for each in lines] == [each["id"] for each in shown]


def test_a_list_says_what_it_holds(admin):
    """How many, of which status, for which reason."""
    for query, heading in (
        ("status=dead&reason=rejected", r"\d+ dead submissions?: rejected by Cordial"),
        ("status=pending", r"\d+ waiting submissions"),
    ):
        page = admin.get(f"/console/submissions?{query}").text
        assert re.search(f'<h1 data-live id="heading">{heading}</h1>', page)


def test_the_bars_are_of_the_span_that_is_chosen(admin):
    """A span that is none counts as the shortest; each bar leads to what it counts."""
    total = int(re.findall(r"([0-9]+) submissions</h1>", admin.get("/console/submissions").text)[0])
    for span, bars in (("24h", 24), ("7d", 28), ("30d", 30), ("none", 24)):
        page = admin.get(f"/console?range={span}").text
        drawn = re.findall(r'<a href="([^"]+)" tabindex="-1"><title>([^<]+)</title>', page)
        assert len(drawn) == bars
        counted = 0
        for address, said in drawn[-2:]:  # two, if an hour has begun since they came in
            number = sum(map(int, re.findall(r"(\d+) [a-z]", said.partition(": ")[2])))
            if number:
                found = admin.get(address.replace("&amp;", "&")).text
                assert re.search(rf"\b{number} submissions?</h1>", found)
            counted += number
        assert counted == total
        assert all("nothing" in said for _, said in drawn[:-2])


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Pacific/Chatham", "America/Los_Angeles", "UTC"])
def test_bars_follow_the_readers_clock(admin, zone):
    """Also where it is off by half an hour: nothing falls between two bars."""
    cookie = f"console_zone={zone}; console_session={admin.cookies['console_session']}"
    for span in ("24h", "7d", "30d"):
        page = admin.get(f"/console?range={span}", headers={"cookie": cookie}).text
        (number,) = re.findall(r">Delivered</a> <b>(\d+)</b>", page)
        assert int(number) > 5


def test_consent_is_counted_by_region_answer_and_status(admin, viewer):
    """All integrations, or one; over a span of time; as a page and as a file, for viewers too."""
    for client in (admin, viewer):
        page = text_of(client.get("/console/consent?integration=spring-quiz").text)
        assert "Outside the EU" in page
        assert "1 submission subscribed a person who did not answer." in page
    lines = admin.get("/console/consent.csv?integration=spring-quiz").text.splitlines()
    told = [each.split(",", 2)[2] for each in lines]
    assert told[0] == "integration,region,opt-in,asked of Cordial,reason,decisions"
    assert "spring-quiz,non_eu,null,subscribed,,1" in told
    assert "spring-quiz,eu,null,left,,1" in told
    assert "spring-quiz,non_eu,unclear,not_sent,opt_in_unclear,1" in told
    for span in ("7d", "30d", "365d", "none"):
        assert "Outside the EU" in admin.get(f"/console/consent?span={span}").text
    assert admin.get("/console/consent?integration=nobody").status_code == 404


def test_each_number_of_the_consent_page_leads_to_the_newest_of_its_kind(stage, admin, viewer):
    """To those submissions and no others; for viewers too."""
    page = html.unescape(viewer.get("/console/consent?integration=spring-quiz").text)
    links = re.findall(r'href="(/console/consent/newest[^"]+)" aria-label="(\d+)', page)
    assert len(links) > 5
    for link, number in links:
        answer = viewer.get(link)
        assert answer.status_code == 303
        assert answer.headers["location"].count("id=") == int(number)
        assert len(rows(viewer.get(answer.headers["location"]).text)) == int(number)
    (silent,) = [each for each, _ in links if "non_eu&answer=null&asked=subscribed" in each]
    (found,) = rows(admin.get(silent, follow_redirects=True).text)
    basis = stage.ops.get(f"/submissions/{found}").json()["decision"]["basis"]
    assert (basis["region"], basis["opt_in"]["answer"]) == ("non_eu", "null")
    assert basis["email_status"] == "subscribed"
    assert admin.get(silent.replace("null", "perhaps")).status_code == 422
    assert admin.get(silent.replace("null", "no")).status_code == 422


def test_consent_says_when_there_is_nothing(stage, bare, admin):
    """Nothing yet, or nothing of this integration."""
    with bare.visit() as client:
        assert "Nothing was decided yet" in client.get("/console/consent").text
    quiz = stage.create("Silent")
    assert "Nothing matches" in admin.get(f"/console/consent?integration={quiz}").text
    stage.ops.delete(f"/integrations/{quiz}")
