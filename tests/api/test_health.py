"""Probes tell whether to restart the process and whether to send it webhooks."""

import sqlite3
from contextlib import closing


def test_a_running_service_is_alive_and_ready(shared):
    """200 with a small JSON body, without a token."""
    for path in ("/healthz", "/readyz"):
        answer = shared.anyone.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_a_draining_service_is_alive_and_not_ready(shared, monkeypatch):
    """So that the balancer sends webhooks elsewhere while what is under way is finished."""
    monkeypatch.setattr(shared.app.state.service, "draining", True)
    answer = shared.anyone.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "Shutting down: finishing what is under way."
    assert shared.anyone.get("/healthz").status_code == 200


def test_a_locked_ledger_can_still_be_read(service, sqlite_url):
    """Another process that writes is no reason to take the service out."""
    running = service(run_worker=False)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.isolation_level = None
        other.execute("BEGIN EXCLUSIVE")
        assert running.client.get("/readyz").status_code == 200
        other.execute("ROLLBACK")


def test_a_ledger_that_is_away_is_not_ready(service, postgresql_url, postgresql_server):
    """503 with what to look at; alive all the same: a restart would not help."""
    running = service(database_url=postgresql_url, run_worker=False)
    assert running.client.get("/readyz").status_code == 200
    name = postgresql_url.partition("?")[0].rpartition("/")[2]
    postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false;")
    terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
    postgresql_server.psql(terminate)
    try:
        answer = running.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == "The ledger cannot be reached; look at DATABASE_URL."
        assert running.client.get("/healthz").status_code == 200
        refused = running.client.get("/integrations")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    finally:
        postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true;")
    assert running.client.get("/readyz").status_code == 200
