"""`DATABASE_URL` in every form: it is read, or refused in one line that says what to write."""

import pytest

from app.ledger.address import NotUnderstood, Postgresql, SqliteFile, read_address
from tests.table import table

HERE = "postgresql://u:p@h/d"


@table(
    ("url", "words"),
    [
        (HERE, {"user": "u", "password": "p", "host": "h", "dbname": "d"}),
        ("postgres://h/d", {"host": "h", "dbname": "d"}),
        ("postgresql+asyncpg://h", {"host": "h"}),
        ("postgresql+psycopg2://h", {"host": "h"}),
        ("postgresql://", {}),
        ("postgresql://u:p%40s%3As%2F%25@h", {"user": "u", "password": "p@s:s/%", "host": "h"}),
        ("postgresql://u:a:b+c@h", {"user": "u", "password": "a:b+c", "host": "h"}),
        ("postgresql://[::1]:55/d", {"host": "[::1]", "port": "55", "dbname": "d"}),
        ("postgresql:///d?host=/run/x", {"host": "/run/x", "dbname": "d"}),
        ("postgresql://%2Frun%2Fx/d", {"host": "/run/x", "dbname": "d"}),
        (
            "postgresql://a:1,b/d",
            {"host": "a,b", "port": "1,5432", "dbname": "d", "target_session_attrs": "read-write"},
        ),
        ("postgresql://h/d?user=u&password=p&dbname=e", None),
        ("host=h port=1 dbname='a b'", {"host": "h", "port": "1", "dbname": "a b"}),
        (r"host = h password='it\'s' user=u\ v", {"host": "h", "password": "it's", "user": "u v"}),
        (f"{HERE}?sslmode=require", {"sslmode": "require"}),
        (f"{HERE}?ssl=true", {"sslmode": "require"}),
        (f"{HERE}?sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": "system"}),
        (f"{HERE}?sslmode=", {}),
        (f"{HERE}?target_session_attrs=primary", {"target_session_attrs": "primary"}),
        (f"{HERE}?channel_binding=prefer&gssencmode=disable&client_encoding=utf8", {}),
    ],
)
def test_libpqs_forms_are_read(url, words):
    """URLs with one host or several, sockets, and words with values."""
    if words is None:
        with pytest.raises(NotUnderstood, match="dbname is there twice"):
            read_address(url)
        return
    read = read_address(url)
    assert isinstance(read, Postgresql)
    usual = {"user": "u", "password": "p", "host": "h", "dbname": "d"} if HERE in url else {}
    assert read.words == usual | words


def test_what_a_session_sets_is_read_from_the_words():
    """Options one by one: through a pooler each transaction sets them."""
    read = read_address(
        f"{HERE}?options=-csearch_path%3Dledger%20-c%20work_mem%3D8MB%20--jit%3Doff"
        "&application_name=x&connect_timeout=3&keepalives_idle=9&tcp_user_timeout=7000"
    )
    assert isinstance(read, Postgresql)
    assert read.settings == {
        "application_name": "x",
        "search_path": "ledger",
        "work_mem": "8MB",
        "jit": "off",
    }
    assert read.connect_seconds == 3
    assert read.keepalive is not None
    assert (read.keepalive.idle, read.keepalive.unanswered) == (9, 7.0)
    assert read_address(f"{HERE}?keepalives=0").keepalive is None  # type: ignore[union-attr]


def test_a_connection_is_never_waited_for_without_an_end():
    """libpq's 0 is for ever, which a webhook has not."""
    for given in ("0", "-1", "900"):
        read = read_address(f"{HERE}?connect_timeout={given}")
        assert isinstance(read, Postgresql)
        assert 0 < read.connect_seconds <= 5


@table(
    ("url", "says"),
    [
        ("mysql://u:p@h/d", "mysql is not known here; use sqlite:///"),
        ("jdbc:postgresql://h/d", "leave jdbc: away"),
        ("ledger.db", "is no database URL"),
        ("sqlite://data/x.db", "third slash: sqlite:///"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///data/", "names a folder"),
        ("sqlite:////tmp", "names a folder"),
        ("sqlite:///x.db?mode=ro", "takes no words"),
        ("postgresql://u:pass@word@h/d", "write @ as %40"),
        ("postgresql://u:pass/word@h/d", "/ as %2F"),
        ("postgresql://u:pass?word@h/d", "\\? as %3F"),
        ("postgresql://u:pass#word@h/d", "# as %23"),
        ("postgresql://u:pass%word@h/d", "% as %25"),
        ("postgresql://u:pass word@h/d", "write it as %20"),
        ("postgresql://h:one/d", "port that is no number"),
        ("postgresql://h:99999/d", "from 1 to 65535"),
        ("postgresql://::1/d", "without brackets"),
        ("postgresql://a,,b/d", "no host beside it"),
        ("host=h dbname=a b", "no list of word=value"),
        (f"{HERE}?foo=1", "the word foo is not known here; leave it out"),
        (f"{HERE}?sslmod=require", "write sslmode"),
        (f"{HERE}?sslmode=on", "sslmode: write one of disable"),
        (f"{HERE}?sslmode=no-verify", "sslmode: write one of disable"),
        (f"{HERE}?sslmode=disable&sslmode=require", "sslmode is there twice"),
        (f"{HERE}?sslmode=require&sslrootcert=system", "sslmode=verify-full"),
        (f"{HERE}?sslrootcert=/not/there.pem", "sslrootcert: cannot read /not/there.pem"),
        (f"{HERE}?sslmode=require&sslrootcert=/etc/hostname", "holds no certificate"),
        (f"{HERE}?sslnegotiation=direct", "goes with sslmode"),
        (f"{HERE}?ssl_min_protocol_version=TLSv9", "ssl_min_protocol_version: write TLSv1.2"),
        (f"{HERE}?channel_binding=require", "channel_binding: write prefer .*verify-full"),
        (f"{HERE}?gssencmode=require", "gssencmode: write"),
        (f"{HERE}?connect_timeout=soon", "connect_timeout: write a whole number"),
        (f"{HERE}?target_session_attrs=standby", "the ledger is written to"),
        (f"{HERE}?client_encoding=latin1", "client_encoding: write utf8"),
        (f"{HERE}?require_auth=scram-sha-256", "not to the driver used here"),
        (f"{HERE}?prepared_statement_cache_size=0", "DATABASE_POOLER=transaction"),
        (f"{HERE}?statement_cache_size=0", "DATABASE_POOLER=transaction"),
        (f"{HERE}?pgbouncer=true", "DATABASE_POOLER=transaction"),
        (f"{HERE}?command_timeout=30", "the word command_timeout .* leave it out"),
        (f"{HERE}?timeout=30", "write connect_timeout"),
        (f"{HERE}?pool_size=5", "at most 6 connections"),
        (f"{HERE}?search_path=x", "options=-csearch_path%3Dx?name"),
        (f"{HERE}?schema=x", "options=-csearch_path"),
        (f"{HERE}?sslmode", "no word=value"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(url, says):
    """It names the word and says what to write; it never shows the password."""
    with pytest.raises(NotUnderstood, match=says) as refused:
        read_address(url)
    said = str(refused.value)
    assert "\n" not in said
    assert "pass" not in said.replace("password", "").replace("pass%", "")


def test_the_poolers_part_is_the_poolers():
    """What it alone can know is not asked of it; SQLite has none."""
    with pytest.raises(NotUnderstood, match="leave it out"):
        read_address(f"{HERE}?target_session_attrs=read-write", pooled=True)
    with pytest.raises(NotUnderstood, match="leave DATABASE_POOLER out"):
        read_address("sqlite:///x.db", pooled=True)


def test_an_address_does_not_show_its_password():
    """Neither in a log nor in a traceback."""
    assert "secret" not in repr(read_address("postgresql://u:secret@h/d"))


def test_files_of_sqlite_are_taken_as_they_are():
    """Three slashes for a path from here, four for one from the root."""
    assert str(read_address("sqlite:///a/b.db").path) == "a/b.db"  # type: ignore[union-attr]
    assert str(read_address("sqlite:////a/b.db").path) == "/a/b.db"  # type: ignore[union-attr]
    assert isinstance(read_address("sqlite+aiosqlite:///a.db"), SqliteFile)
