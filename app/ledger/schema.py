"""The ledger's tables, the same on SQLite and PostgreSQL.

Times are unix seconds: both engines have that type, and due times can be added and compared.
"""

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column of the exact type INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")


class SubmissionStatus(StrEnum):
    """Where a submission stands."""

    PENDING = "pending"  # waiting for its turn or its next try
    DELIVERED = "delivered"  # Cordial has it
    SKIPPED = "skipped"  # a rule said no; the reason says which
    DEAD = "dead"  # we gave up, a person must look; the reason says why
    TEST = "test"  # a test webhook, never sent


class DeadReason(StrEnum):
    """Why we gave a submission up."""

    UNREADABLE = "unreadable"  # signed, but no JSON object
    REJECTED = "rejected"  # Cordial refused the contact
    UNAVAILABLE = "unavailable"  # Cordial did not take it in all the tries of the schedule
    INTEGRATION_DELETED = "integration_deleted"  # its integration was deleted while it waited


class GateState(StrEnum):
    """Whether submissions of an integration may go to Cordial now."""

    OPEN = "open"
    HELD = "held"  # Cordial said when to try again (429)
    CLOSED = "closed"  # Cordial failed several times in a row; one probe at a time
    BLOCKED = "blocked"  # Cordial refuses our access: a person must look; we probe meanwhile


integrations = Table(
    "integrations",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("config", JSON, nullable=False),  # without secrets
    Column("secrets", LargeBinary, nullable=False),  # encrypted by the vault
    Column("version", Integer, nullable=False),  # counts the changes of config and secrets
    Column("paused", Boolean, nullable=False),
    Column("paused_reason", Text),
    Column("setup", JSON(none_as_null=True)),  # what is answered so far; null: it is set up
    Column("gate", String(10), nullable=False),
    Column("gate_reason", Text),
    Column("gate_since", Double),
    Column("gate_until", Double),  # no claim before; then a closed or blocked gate takes one probe
    Column("failures", Integer, nullable=False),  # in a row
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),  # the order of receipt
    Column("id", String(32), nullable=False, unique=True),
    Column("integration_id", String(100), nullable=False),  # kept when the integration is deleted
    Column("status", String(10), nullable=False),
    Column("reason", String(40)),
    Column("test", Boolean, nullable=False),
    # The line that the submission waits in: an HMAC of its address, or its own id if it has none.
    Column("contact_key", String(32)),
    Column("phone_key", String(32)),  # finds by phone a person whom we know by email
    Column("session_key", String(32)),  # its time, then an HMAC of session id and content
    Column("received_at", Double, nullable=False),
    Column("occurred_at", Double),
    Column("settled_at", Double),
    Column("tries", Integer, nullable=False),  # attempts spent since receipt or the last replay
    Column("forced", Boolean, nullable=False),  # sent even if a newer one was: a person asked
    Column("delivered_before", Boolean),  # and is sent again, by a replay; null: not
    Column("payload", LargeBinary),
    Column("warnings", JSON(none_as_null=True)),
    Column("cordial_contact_id", String(64)),
    Column("request_id", String(128)),  # the webhook's, for the log lines of the attempts
    Column("traceparent", String(64)),  # the webhook's span, which the deliveries link to
    # Finds the first pending submission of a contact too. The keys are random, so each submission
    # writes a page of its own in this index: the fewer such indexes, the better.
    Index("submissions_by_contact", "contact_key", "integration_id", "status", "seq"),
    Index(
        "submissions_by_phone",
        "phone_key",
        sqlite_where=text("phone_key IS NOT NULL"),
        postgresql_where=text("phone_key IS NOT NULL"),
    ),
    Index(
        "submissions_by_session",
        "session_key",
        "integration_id",
        unique=True,
        sqlite_where=text("session_key IS NOT NULL"),
        postgresql_where=text("session_key IS NOT NULL"),
    ),
    Index(
        "submissions_with_payload",
        "status",
        "settled_at",
        sqlite_where=text("payload IS NOT NULL"),
        postgresql_where=text("payload IS NOT NULL"),
    ),
    Index("submissions_by_status", "integration_id", "status", "seq"),
    # What was delivered has no reason, and no entry here.
    Index(
        "submissions_by_reason",
        "integration_id",
        "status",
        "reason",
        "seq",
        sqlite_where=text("reason IS NOT NULL"),
        postgresql_where=text("reason IS NOT NULL"),
    ),
)

# How many submissions stand where, by the hour of their receipt; long past hours are added up by
# day. Triggers on `submissions` keep it (migration 0007), so it is exact whoever writes there: also
# a version that does not know of it.
submission_counts = Table(
    "submission_counts",
    metadata,
    Column("integration_id", String(100), primary_key=True),
    Column("status", String(10), primary_key=True),
    Column("reason", String(40), primary_key=True),  # a blank stands for none
    Column("hour", Integer, primary_key=True, autoincrement=False),  # since 1970
    # On PostgreSQL each transaction counts in a part of its own, so none waits for another. The
    # worker adds them to part 0.
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),  # of a part: may be negative
    Column("first_seq", BigInteger, nullable=False),  # all that are counted lie from here
    Column("last_seq", BigInteger, nullable=False),  # to here
    sqlite_with_rowid=False,
)

# One row for each contact of an integration: whose turn it is. A worker leases the contact, not the
# submission, so a contact's submissions go out one at a time, in order.
contacts = Table(
    "contacts",
    metadata,
    Column("integration_id", String(100), primary_key=True),
    Column("contact_key", String(32), primary_key=True),
    Column("due_at", Double),  # when its first pending submission may go; null if none is pending
    Column("lease", String(32)),  # the holder's token; until due_at, when the lease expires
    Column("newest_content", String(32)),  # of its newest submission: the next one may repeat it
    Column("delivered_seq", BigInteger),  # the newest delivered submission
    Column("delivered_occurred_at", Double),  # when its latest delivered answers were given
    Column("texted_key", String(32)),  # of the phone that we last subscribed, or may have, to texts
    Index(
        "contacts_due",
        "integration_id",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index(
        "contacts_by_texted",
        "contact_key",
        sqlite_where=text("texted_key IS NOT NULL"),
        postgresql_where=text("texted_key IS NOT NULL"),
    ),
    sqlite_with_rowid=False,  # each row is one page to write instead of two
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column(
        "submission_seq",
        _Serial,
        ForeignKey("submissions.seq", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", Double, nullable=False),
    Column("ms", Double, nullable=False),
    Column("http_status", Integer),
    Column("outcome", String(20), nullable=False),
    Column("error", Text),
)

# When somebody last said no to a channel, by the HMAC of its address: neither silence nor an older
# yes may subscribe them, through whichever integration it comes.
refusals = Table(
    "refusals",
    metadata,
    Column("address_key", String(32), primary_key=True),
    Column("said_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

# What was decided of a person when a submission settled, without any address. It outlives the
# payload; erasure removes it.
decisions = Table(
    "decisions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    # Found by those of the contact's submissions: an index of its own would be one more random page
    # to write for each decision.
    Column("contact_key", String(32), nullable=False),
    Column("former_key", String(32)),  # the same, if the submission has become another contact's
    Column("phone_key", String(32)),
    Column("submission_seq", BigInteger, nullable=False, index=True),
    Column("submission_id", String(32), nullable=False),
    Column("integration_id", String(100), nullable=False),
    Column("version", Integer, nullable=False),  # of the integration
    Column("decided_at", Double, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("reason", String(40)),
    Column("basis", Text),  # JSON: the readings and the statuses asked; null: nothing was planned
    Index(
        "decisions_by_former_key",
        "former_key",
        sqlite_where=text("former_key IS NOT NULL"),
        postgresql_where=text("former_key IS NOT NULL"),
    ),
    Index(
        "decisions_by_phone",
        "phone_key",
        sqlite_where=text("phone_key IS NOT NULL"),
        postgresql_where=text("phone_key IS NOT NULL"),
    ),
)

# How many submissions, by hour and what was decided. A blank stands for none.
tallies = Table(
    "tallies",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # since 1970
    Column("integration_id", String(100), primary_key=True),
    Column("outcome", String(10), primary_key=True),  # a status, `received` or `duplicate`
    Column("reason", String(40), primary_key=True),
    Column("region", String(10), primary_key=True),
    Column("answer", String(10), primary_key=True),
    Column("email", String(12), primary_key=True),  # the status asked
    Column("sms", String(12), primary_key=True),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What each source sends: one row for each integration, its size bounded.
sources = Table(
    "sources",
    metadata,
    Column("integration_id", String(100), primary_key=True),
    Column("submissions", BigInteger, nullable=False),  # so many were looked at
    Column("asked_last", BigInteger),  # the number of the last one that had the opt-in attribute
    Column("seen_keys", Text, nullable=False),  # JSON, see `sources.py`
    Column("watched", Text),  # JSON: what else tells whether the meaning of it all has drifted
    Column("drift", Text),  # JSON: what was found to drift, since when; null: nothing
    sqlite_with_rowid=False,
)

# The last refused webhooks of each integration: when and why, nothing of what they held.
refused_webhooks = Table(
    "refused_webhooks",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("integration_id", String(100), nullable=False, index=True),
    Column("at", Double, nullable=False),
    Column("reason", String(40), nullable=False),
)

# The signatures we have seen, for as long as somebody could send them again. A fingerprint begins
# with its time, so new ones are neighbours in the index, on few pages.
receipts = Table(
    "receipts",
    metadata,
    Column("integration_id", String(100), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("expires_at", Double, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# What we set up at Jebbit through its API; deleted together with the integration.
jebbit_registrations = Table(
    "jebbit_registrations",
    metadata,
    Column(
        "integration_id",
        String(100),
        ForeignKey("integrations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("jebbit_id", String(100), nullable=False),  # of the webhook integration at Jebbit
    Column("credentials", LargeBinary),  # encrypted by the vault; null if we keep none
    Column("created_at", Double, nullable=False),
)

# Keys that rows were made with. The vault encrypts them, so the vault's own keys can change.
data_keys = Table(
    "data_keys",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# On PostgreSQL: the sessions on which workers listen, by the number of the lock that each holds.
# One whose lock is free is gone, and what it had leased is taken over.
workers = Table(
    "workers",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
)

# On SQLite: the unix time at which this machine's monotonic clock was zero, for each boot.
clocks = Table(
    "clocks",
    metadata,
    Column("boot", String(36), primary_key=True),
    Column("zero_at", Double, nullable=False),
)

# Messages to NOTIFY_URL: what people should hear of.
notices = Table(
    "notices",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("integration_id", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("detail", Text),
    Column("events", Integer, nullable=False),  # how many events this one message counts
    Column("created_at", Double, nullable=False),
    Column("due_at", Double),  # when to send it; null once it is sent or given up
    Column("told_at", Double),
    # One unsent message counts all new dead submissions of an integration.
    Index(
        "notices_dead",
        "integration_id",
        unique=True,
        sqlite_where=text("kind = 'dead' AND due_at IS NOT NULL"),
        postgresql_where=text("kind = 'dead' AND due_at IS NOT NULL"),
    ),
    Index(
        "notices_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

# Each version of an integration's configuration: how it read, its secrets masked, and who made it.
# It outlives the integration: decisions name the version that they were made by.
changes = Table(
    "changes",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("integration_id", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("name", String(40)),  # of the caller; null: it was made before versions were kept
    Column("kind", String(10), nullable=False),
    Column("restores", Integer),  # the version that it brought back
    Column("config", JSON, nullable=False),
    Index("changes_by_integration", "integration_id", "version"),
)

# Who asked for which change of the service, and which tokens were refused.
audit = Table(
    "audit",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False, index=True),
    Column("name", String(40)),  # of the caller; null: nobody has the token
    Column("role", String(10)),
    Column("operation", String(100), nullable=False),
    Column("target", String(100)),  # the id of what was to be changed
    Column("address", String(64), nullable=False),  # the network address of the call
    Column("outcome", String(40), nullable=False),
    Column("times", Integer, nullable=False),  # for how many calls the row stands
)


_HEAD_START = 2 * 3600.0


def ready_at(now: float) -> float:
    """Return the due time of a submission that may go at once.

    It lies two hours back: if the clock jumps back by an hour, what is ready does not have to wait.
    Ordered by `due_at`, ready submissions keep the order in which they became ready.
    """
    return now - _HEAD_START
