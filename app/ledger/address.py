"""Where the ledger is: `DATABASE_URL`, in every form that other programs know, read once.

PostgreSQL's forms are those of its own library, libpq: a URL with one host or several, or words
with values (`host=... dbname=...`), with the words of
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS. A word that we
cannot honour is refused by its name: ignored, it could mean less safety than somebody asked for.
"""

import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote, unquote

_USE = "use sqlite:///path/to/file.db or postgresql://user:password@host/name"
_MOST_CONNECT_SECONDS = 5.0  # a webhook waits for it, and is answered within 10 s


class NotUnderstood(ValueError):
    """A `DATABASE_URL` that cannot be used; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A ledger in a file of this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When a connection that says nothing is taken for lost; seconds."""

    idle: int = 30
    interval: int = 5
    count: int = 3
    unanswered: float = 8.0


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A ledger on a PostgreSQL server.

    `words` are those that asyncpg takes, `settings` what each session or, through a pooler, each
    transaction sets. Neither is shown: they hold a password.
    """

    words: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    keepalive: Keepalive | None
    connect_seconds: float
    pooled: bool

    @property
    def dsn(self) -> str:
        """The address as asyncpg reads it, with everything in words."""
        given = (f"{name}={quote(value, safe='')}" for name, value in self.words.items())
        return f"postgresql://?{'&'.join(given)}"

    @property
    def trust(self) -> ssl.SSLContext | None:
        """What checks the server's certificate by the authorities this system trusts, if asked."""
        if self.words.get("sslrootcert") != "system":
            return None
        trusted = ssl.create_default_context()
        if certificate := self.words.get("sslcert"):
            password = self.words.get("sslpassword", "")
            trusted.load_cert_chain(certificate, self.words.get("sslkey"), lambda: password)
        return trusted


Address = SqliteFile | Postgresql


def read_address(url: str, *, pooled: bool = False) -> Address:
    """Read a `DATABASE_URL`; `pooled`: a pooler hands out its sessions transaction by transaction.

    Raises:
        NotUnderstood: it cannot be used. The text names what is wrong, never a password.
    """
    scheme, colon, rest = url.partition("://")
    if not colon and re.match(r"\s*\w+\s*=", url):
        return _postgresql(_pairs_of_words(url), pooled)
    backend = scheme.partition("+")[0].lower()
    if colon and backend in ("postgresql", "postgres"):
        return _postgresql(_pairs_of_url(rest), pooled)
    if colon and backend == "sqlite":
        if pooled:
            raise NotUnderstood("is SQLite, which has no pooler; leave DATABASE_POOLER out")
        return SqliteFile(_sqlite_path(rest))
    if scheme.startswith("jdbc:"):
        raise NotUnderstood(f"leave jdbc: away; {_USE}")
    if colon and re.fullmatch(r"[\w+.-]+", scheme):
        raise NotUnderstood(f"{scheme} is not known here; {_USE}")
    raise NotUnderstood(f"is no database URL; {_USE}")


def _sqlite_path(rest: str) -> Path:
    if not rest.startswith("/") and rest:
        raise NotUnderstood(
            "needs a third slash: sqlite:///data/ledger.db, or four for an absolute path"
        )
    path, question, _ = rest[1:].partition("?")
    if question:
        raise NotUnderstood("takes no words after the file's name; write sqlite:///path/to/file.db")
    if not path or path == ":memory:" or path.startswith("file:"):
        raise NotUnderstood("needs a file to keep what comes in; write sqlite:///path/to/file.db")
    if path.endswith("/") or Path(path).is_dir():
        raise NotUnderstood("names a folder; add the file's name: sqlite:///folder/ledger.db")
    return Path(path)


_Pairs = Iterable[tuple[str, str]]

_ESCAPES = (
    "write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25 in the user and password"
)


def _pairs_of_url(rest: str) -> _Pairs:
    """Read what stands behind `postgresql://`: a login, hosts with ports, a name, and words."""
    if re.search(r"\s", rest):
        raise NotUnderstood("holds a space; write it as %20")
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        raise NotUnderstood(f"holds a % that is no escape; {_ESCAPES}")
    authority, slash, tail = re.fullmatch(r"([^/?#]*)(/?)(.*)", rest).groups()  # type: ignore[union-attr]
    login, at, hosts = authority.rpartition("@")
    before_query, question, query = tail.partition("?")
    cut_off = not at and "@" in before_query + query.partition("=")[0]
    if "@" in login or "#" in rest or cut_off:
        raise NotUnderstood(f"cannot be taken apart; {_ESCAPES}")
    name = before_query if slash else ""
    if not slash and before_query:
        raise NotUnderstood(f"cannot be taken apart; {_ESCAPES}")
    user, _, password = login.partition(":")
    yield from (("user", unquote(user)), ("password", unquote(password)))
    yield from _hosts(hosts)
    yield "dbname", unquote(name)
    for piece in query.split("&") if question else ():
        word, equals, value = piece.partition("=")
        if piece and not equals:
            raise NotUnderstood(f"has something behind ? that is no word=value; {_ESCAPES}")
        yield unquote(word), unquote(value)


def _hosts(given: str) -> _Pairs:
    hosts, ports = [], []
    for each in given.split(","):
        found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]*)(?::(\d*))?", each)
        if found is None:
            raise NotUnderstood(
                "has a port that is no number, or an IPv6 address without brackets; write "
                f"host:5432 or [::1]:5432. If it is the password's: {_ESCAPES}"
            )
        hosts.append(unquote(found[1]))
        ports.append(found[2] or "")
    if any(hosts):
        yield "host", ",".join(hosts)
    if any(ports):
        yield "port", ",".join(each or "5432" for each in ports)


_WORD = re.compile(r"\s*(\w+)\s*=\s*('(?:\\.|[^'\\])*'|(?:\\.|[^\s\\'])*)(?=\s|$)")


def _pairs_of_words(text: str) -> _Pairs:
    """Read `host=... dbname=...`; a value with spaces stands in single quotes."""
    place = 0
    while text[place:].strip():
        found = _WORD.match(text, place)
        if found is None:
            raise NotUnderstood(
                "is no list of word=value; put a value with spaces into single quotes, "
                "and write \\' for a quote"
            )
        value = found[2][1:-1] if found[2].startswith("'") else found[2]
        yield found[1], re.sub(r"\\(.)", r"\1", value)
        place = found.end()


def _postgresql(pairs: _Pairs, pooled: bool) -> Postgresql:
    words: dict[str, str] = {}
    for written, value in pairs:
        word = _SAME.get(written, written)
        if word not in _KNOWN:
            raise NotUnderstood(f"the word {_shown(written)} {_instead(written)}")
        if value and words.setdefault(word, value) != value:
            raise NotUnderstood(f"the word {word} is there twice, with two values; leave one out")
    for word, check in _CHECKED.items():
        if word in words:
            words[word] = check(words[word])
    _check_tls(words)
    _check_hosts(words, pooled)
    kept = {word: value for word, value in words.items() if word in _PASSED_ON}
    return Postgresql(
        kept,
        _settings(words),
        _keepalive(words),
        _connect_seconds(words),
        pooled,
    )


def _check_tls(words: dict[str, str]) -> None:
    mode, root = words.get("sslmode"), words.get("sslrootcert")
    if root == "system" and words.setdefault("sslmode", "verify-full") != "verify-full":
        raise NotUnderstood("sslrootcert=system goes with sslmode=verify-full; write that")
    for word in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        file = words.get(word)
        if file and not (word == "sslrootcert" and file == "system"):
            try:
                Path(file).read_bytes()
            except OSError as error:
                raise NotUnderstood(f"{word}: cannot read {file}: {error.strerror}") from None
    if root and root != "system" and mode != "disable":
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root)
        except ssl.SSLError:
            raise NotUnderstood(f"sslrootcert: {root} holds no certificate (PEM)") from None
    if words.get("sslnegotiation") == "direct" and mode not in (
        "require",
        "verify-ca",
        "verify-full",
    ):
        raise NotUnderstood("sslnegotiation=direct goes with sslmode=require or verify-full")


def _check_hosts(words: dict[str, str], pooled: bool) -> None:
    if address := words.get("hostaddr"):
        if "host" in words and words.get("sslmode") == "verify-full":
            raise NotUnderstood("the word hostaddr cannot be used with verify-full; leave it out")
        words["host"] = address
    hosts = words.get("host", "").split(",")
    words_host = [f"[{each}]" if ":" in each and each[0] != "[" else each for each in hosts]
    if any(hosts):
        if not all(hosts):
            raise NotUnderstood("has a comma with no host beside it; write host1,host2")
        words["host"] = ",".join(words_host)
    ports = words.get("port", "").split(",")
    if any(ports):
        wrong = [each for each in ports if not each.isdigit() or not 0 < int(each) < 65536]
        if wrong or len(ports) not in (1, len(hosts)):
            raise NotUnderstood("port: write a number from 1 to 65535, one for all hosts or each")
    wanted = words.get("target_session_attrs")
    if pooled:
        if wanted not in (None, "any"):
            raise NotUnderstood("target_session_attrs is the pooler's to look after; leave it out")
        return
    if len(hosts) > 1:  # of several, the one that takes writes: the others are its copies
        words.setdefault("target_session_attrs", "read-write")


def _keepalive(words: Mapping[str, str]) -> Keepalive | None:
    if words.get("keepalives") == "0":
        return None
    usual = Keepalive()
    unanswered = int(words.get("tcp_user_timeout", "0")) / 1000  # libpq has milliseconds
    return Keepalive(
        int(words.get("keepalives_idle", "0")) or usual.idle,
        int(words.get("keepalives_interval", "0")) or usual.interval,
        int(words.get("keepalives_count", "0")) or usual.count,
        unanswered or usual.unanswered,
    )


def _connect_seconds(words: Mapping[str, str]) -> float:
    given = int(words.get("connect_timeout", "0"))
    return min(float(given), _MOST_CONNECT_SECONDS) if given > 0 else _MOST_CONNECT_SECONDS


_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|\S)*)(?:\s+|$)")


def _settings(words: Mapping[str, str]) -> dict[str, str]:
    """Return what the words `options` and `application_name` set."""
    name = words.get("application_name", words.get("fallback_application_name"))
    settings = {"application_name": name or "jebbit-cordial-sync"}
    rest, place = words.get("options", "").strip(), 0
    while place < len(rest):
        found = _OPTION.match(rest, place)
        if found is None:  # as `endpoint=...`, by which a host knows its customer
            settings["options"] = rest[place:]
            break
        settings[found[1].replace("-", "_")] = re.sub(r"\\(.)", r"\1", found[2])
        place = found.end()
    return settings


def _shown(word: str) -> str:
    """Return a word that somebody may show: one of letters, and not long."""
    return word if re.fullmatch(r"\w{1,40}", word) else "behind ?"


def _instead(word: str) -> str:
    """Return what to do about a word that is not known here."""
    if advice := _ADVICE.get(word):
        return advice
    near = get_close_matches(word.lower(), _KNOWN, n=1)
    return f"is not known here; {f'write {near[0]}' if near else 'leave it out'}"


def _one_of(word: str, *allowed: str, advice: str = "") -> Callable[[str], str]:
    def check(value: str) -> str:
        if value.lower() not in allowed:
            raise NotUnderstood(f"{word}: write {' or '.join(allowed)}{advice}")
        return value.lower()

    return check


def _sslmode(value: str) -> str:
    known = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
    mode = {"true": "require", "1": "require", "no-verify": "no-verify"}.get(value, value)
    if mode not in known:
        raise NotUnderstood(f"sslmode: write one of {', '.join(known)}")
    return mode


def _number(word: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(r"-?\d{1,9}", value.strip()):
            raise NotUnderstood(f"{word}: write a whole number")
        return value.strip()

    return check


def _tls_version(word: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"):
            raise NotUnderstood(f"{word}: write TLSv1.2 or TLSv1.3")
        return value

    return check


_SAME = {"database": "dbname", "ssl": "sslmode", "requiressl": "sslmode", "username": "user"}
_NOT_HERE = "; this driver knows no other"

_CHECKED: Mapping[str, Callable[[str], str]] = {
    "sslmode": _sslmode,
    "sslnegotiation": _one_of("sslnegotiation", "postgres", "direct"),
    "ssl_min_protocol_version": _tls_version("ssl_min_protocol_version"),
    "ssl_max_protocol_version": _tls_version("ssl_max_protocol_version"),
    "connect_timeout": _number("connect_timeout"),
    "keepalives": _one_of("keepalives", "0", "1"),
    "keepalives_idle": _number("keepalives_idle"),
    "keepalives_interval": _number("keepalives_interval"),
    "keepalives_count": _number("keepalives_count"),
    "tcp_user_timeout": _number("tcp_user_timeout"),
    "target_session_attrs": _one_of(
        "target_session_attrs", "any", "read-write", "primary", advice="; the ledger is written to"
    ),
    "client_encoding": _one_of("client_encoding", "utf8", "utf-8", "unicode", "auto"),
    "gsslib": _one_of("gsslib", "gssapi"),
    # What asks for no more than we do anyway is taken; what asks for more is refused.
    "channel_binding": _one_of(
        "channel_binding",
        "prefer",
        "disable",
        advice="; instead of require, write sslmode=verify-full: it lets nobody in between either",
    ),
    "gssencmode": _one_of("gssencmode", "prefer", "disable", advice=_NOT_HERE),
    "gssdelegation": _one_of("gssdelegation", "0", advice=_NOT_HERE),
    "sslcompression": _one_of("sslcompression", "0", "1"),  # no server compresses any more
    "sslsni": _one_of("sslsni", "1", advice=_NOT_HERE),
    "sslcertmode": _one_of("sslcertmode", "allow", advice=_NOT_HERE),
    "load_balance_hosts": _one_of("load_balance_hosts", "disable", advice=_NOT_HERE),
    "replication": _one_of("replication", "false", "off", "no", "0", advice=_NOT_HERE),
    "min_protocol_version": _one_of("min_protocol_version", "3.0", advice=_NOT_HERE),
    "max_protocol_version": _one_of("max_protocol_version", "3.0", "3.2", "latest"),
}
_PASSED_ON = frozenset(
    "host port user password dbname passfile service sslmode sslnegotiation sslcert sslkey "
    "sslpassword sslrootcert sslcrl ssl_min_protocol_version ssl_max_protocol_version "
    "target_session_attrs krbsrvname gsslib".split()
)
_OURS = ("hostaddr", "application_name", "fallback_application_name", "options")
_KNOWN = (*_PASSED_ON, *_CHECKED, *_OURS)

_FOR_POOLERS = "is not known here; if a pooler is in between, set DATABASE_POOLER=transaction"
_OF_POOLS = "is not known here; leave it out: a process opens at most 6 connections"
_OF_SCHEMAS = "is not known here; write options=-csearch_path%3Dname"
_NOT_BY_THIS_DRIVER = "is known to libpq, but not to the driver used here; leave it out"

_ADVICE = {
    **dict.fromkeys(
        "prepared_statement_cache_size statement_cache_size prepared_statement_name_func "
        "prepare_threshold pgbouncer max_cached_statement_lifetime".split(),
        _FOR_POOLERS,
    ),
    **dict.fromkeys(
        "pool_size max_overflow pool_timeout pool_recycle pool_pre_ping connection_limit "
        "min_size max_size".split(),
        _OF_POOLS,
    ),
    **dict.fromkeys(("search_path", "schema", "currentSchema"), _OF_SCHEMAS),
    **dict.fromkeys(
        "require_auth requirepeer sslcrldir servicefile scram_client_key scram_server_key "
        "sslkeylogfile oauth_issuer oauth_client_id oauth_client_secret oauth_scope".split(),
        _NOT_BY_THIS_DRIVER,
    ),
    "timeout": "is not known here; write connect_timeout",
    "command_timeout": "is not known here; leave it out: every step has its limit",
    "statement_timeout": "is not known here; write options=-cstatement_timeout%3D30s",
    "async_fallback": "is not known here; leave it out",
}
