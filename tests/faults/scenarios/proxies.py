"""Proxies: on the way out to Cordial, and in front of the service."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from app.serving import free_port
from tests.faults.load import post, submission
from tests.faults.processes import until
from tests.faults.programs import as_documented, nginx, slow_line, tinyproxy
from tests.faults.scenarios.registry import scenario
from tests.faults.stage import Stage
from tests.proxies import certificate


@scenario("out through tinyproxy", ("sqlite",), 5, ("tinyproxy", "nginx"))
def through_tinyproxy(stage: Stage, scale: int) -> None:
    """Cordial speaks TLS and is reached by a tunnel, which is killed, and refuses, meanwhile.

    A proxy that is away is waited for; one that refuses the password blocks, and a check opens.
    """
    stage.sandbox.start()
    cordial, own = free_port(), free_port()
    trusted, _ = certificate(stage.folder)
    stage.settings |= {
        "CORDIAL_PROXY_URL": f"http://ann:word@127.0.0.1:{own}",
        "CORDIAL_EXTRA_HOSTS": f"127.0.0.1:{cordial}",
        "SSL_CERT_FILE": str(trusted),
    }
    end = nginx(stage.folder / "tls", cordial, _tls(stage, cordial)).start()
    right = tinyproxy(stage.folder / "proxy", own, "ann word").start()
    wrong = tinyproxy(stage.folder / "proxy", own, "ann other")
    for each in (end, right, wrong):
        stage.after.callback(each.kill)
    stage.replica()
    account = {"account_url": f"https://127.0.0.1:{cordial}", "api_key": "sandbox-key"}
    stage.create(cordial=account)
    slowest = 0.0
    with stage.load() as load:
        for _ in range(scale):
            load.more(30)
            right.kill()
            load.more(30)
            until(lambda: stage.gate()["state"] == "closed", "it is given up for now")
            right.start()
            back = time.monotonic()
            seen = _upserts(stage)
            until(lambda seen=seen: _upserts(stage) > seen, "it is sent again")
            slowest = max(slowest, time.monotonic() - back)
        right.kill()
        wrong.start()
        until(lambda: stage.gate()["state"] == "blocked", "the refusal blocks")
        load.more(10)
        wrong.kill()
        right.start()
    # Again, if need be: a refusal that was under way is noted after a check, and blocks anew.
    until(lambda: _sent_after_a_check(stage), "a check opens")
    asked = (stage.folder / "proxy" / "connects").read_text()
    tunnels = asked.count(f"CONNECT 127.0.0.1:{cordial}")
    assert tunnels, "no tunnel was asked for"
    stage.notes.append(f"{tunnels} tunnels; sends again {slowest:.1f} s after the proxy is back")


def _sent_after_a_check(stage: Stage) -> bool:
    if stage.gate()["state"] == "blocked":
        stage.ops("POST", "/integrations/spring-quiz/check").raise_for_status()
    return stage.pending() == 0


def _tls(stage: Stage, port: int) -> str:
    """Return what makes nginx speak TLS in front of the sandbox."""
    sandbox = stage.sandbox.url.removeprefix("http://")
    return (
        f"upstream sandbox {{ server {sandbox}; keepalive 32; }}\n"
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {stage.folder}/certificate.pem;"
        f" ssl_certificate_key {stage.folder}/key.pem; location / {{ proxy_pass http://sandbox;"
        ' proxy_http_version 1.1; proxy_set_header Connection ""; } }'
    )


def _upserts(stage: Stage) -> int:
    return len(stage.read_journal())


_AT_ONCE = 20
_NGINX_GIVES_UP = 1.0  # s
_SERVICE_GIVES_UP = 2
_LINE = 0.03  # s, from nginx to the service and back: what comes meanwhile makes the race


@scenario("behind nginx", ("sqlite",), 20, ("nginx",))
def behind_nginx(stage: Stage, scale: int) -> None:
    """nginx as docs/deploy.md sets it up; webhooks come just as connections are given up.

    Under a prefix, which one nginx takes off and the other passes on. A third one keeps connections
    longer than the service does and never tries twice, to show that the race is there.
    """
    stage.sandbox.start()
    prefix = "https://example.com/sync"
    stage.replica(KEEP_ALIVE_SECONDS=str(_SERVICE_GIVES_UP), PUBLIC_URL=prefix)
    stage.create()
    line = stage.after.enter_context(slow_line(stage.replicas[0].address, _LINE))
    fronts = {name: free_port() for name in ("takes off", "passes on", "too long")}
    for name, port in fronts.items():
        settings = as_documented(port, line).replace("location /web", "location /sync/web")
        seconds = 60 if name == "too long" else _NGINX_GIVES_UP
        kept = f"keepalive 32; keepalive_timeout {seconds * 1000:.0f}ms;"
        settings = settings.replace("keepalive 32;", kept)
        if name == "too long":
            settings = re.sub("proxy_next_upstream .*;", "proxy_next_upstream off;", settings)
        if name == "takes off":
            settings = settings.replace("pass http://sync;", "pass http://sync/webhooks/;")
        front = nginx(stage.folder / name.replace(" ", "-"), port, settings).start()
        stage.after.callback(front.kill)
    answers: dict[str, Counter[int]] = {name: Counter() for name in fronts}
    with ThreadPoolExecutor(_AT_ONCE) as pool, httpx.Client(timeout=30) as http:
        for round_ in range(scale):
            for name, port in fronts.items():
                limit = _SERVICE_GIVES_UP if name == "too long" else _NGINX_GIVES_UP
                _burst(stage, pool, http, port, answers[name], f"{name}-{round_}a")
                time.sleep(limit + stage.chance.uniform(-2.5, 0) * _LINE)  # a matter of when
                _burst(stage, pool, http, port, answers[name], f"{name}-{round_}b")
        assert http.get(f"http://127.0.0.1:{fronts['passes on']}/docs").status_code == 404
    lost = answers.pop("too long")
    assert all(each.keys() == {202} for each in answers.values()), answers
    stage.settle()
    count = sum(each.total() for each in answers.values())
    stage.notes.append(f"{count} of {count} are 202")
    if others := lost.total() - lost[202]:
        stage.notes.append(
            f"where nginx keeps connections too long, {others} of {lost.total()} are not"
        )


def _burst(
    stage: Stage,
    pool: ThreadPoolExecutor,
    http: httpx.Client,
    port: int,
    answers: Counter[int],
    name: str,
) -> None:
    """Post webhooks at once, so that each takes a connection of its own to the service."""

    def one(number: int) -> None:
        body = submission(f"{name.replace(' ', '-')}-{number}", 0)
        answer = post(http, f"http://127.0.0.1:{port}/sync", body)
        answers[answer.status_code] += 1
        if answer.status_code == 202:
            stage.accepted.add((f"{name.replace(' ', '-')}-{number}", 0))

    list(pool.map(one, range(_AT_ONCE)))
