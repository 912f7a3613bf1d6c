"""What is kept secret stays so, and people are known by keys that say nothing of them."""

import hmac

import pytest

from app.ledger.vault import Pseudonyms, Vault, WrongSecretKey, texts_key

OLD, NEW = "the-old-key-of-at-least-32-characters", "the-new-key-of-at-least-32-characters"


def test_what_is_encrypted_is_read_with_the_same_key_only():
    """And looks different each time."""
    vault = Vault([OLD])
    token = vault.encrypt(b"secret")
    assert b"secret" not in token
    assert vault.encrypt(b"secret") != token
    assert Vault([OLD]).decrypt(token) == b"secret"
    with pytest.raises(WrongSecretKey, match="add the old one"):
        Vault([NEW]).decrypt(token)


def test_keys_are_rotated_newest_first():
    """Any key reads, the first one writes."""
    both = Vault([NEW, OLD])
    assert both.decrypt(Vault([OLD]).encrypt(b"secret")) == b"secret"
    assert Vault([NEW]).decrypt(both.encrypt(b"secret")) == b"secret"


@pytest.mark.parametrize("token", [b"", b"x", b"\xff\xfe", b"gAAAAABh"])
def test_a_broken_token_is_told(token):
    """Not a crash."""
    with pytest.raises(WrongSecretKey):
        Vault([OLD]).decrypt(token)


def test_a_changed_token_is_refused():
    """What was tampered with in the database is not believed."""
    token = bytearray(Vault([OLD]).encrypt(b"secret"))
    token[20] ^= 1
    with pytest.raises(WrongSecretKey):
        Vault([OLD]).decrypt(bytes(token))


def test_pseudonyms_tell_equal_from_different_and_nothing_more():
    """The same input gives the same key; kind, value, session and the ledger's key all matter."""
    mine = Pseudonyms(b"k" * 32)
    keys = [
        mine.email("ann@example.com"),
        mine.email("bob@example.com"),
        mine.phone("ann@example.com"),
        mine.content(b"ann@example.com"),
        mine.session("s", b"ab"),
        mine.session("sa", b"b"),
        mine.session("s", b"b"),
        mine.session("s", b"b", 1_700_000_000.0),
        mine.session("t", b"b", 1_700_000_000.0),
        Pseudonyms(b"x" * 32).email("ann@example.com"),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(each) for each in keys} == {32}
    assert mine.email("ann@example.com") == keys[0]
    assert not any("ann" in each for each in keys)


@pytest.mark.parametrize("session", ["1 a", "a\0b", "", "é", "3 1 a"])
def test_a_session_is_not_taken_for_another_by_its_spelling(session):
    """Its length is part of the digest, so that no name can pose as another with content."""
    mine = Pseudonyms(b"k" * 32)
    others = [mine.session("a", b"c"), mine.session("1", b"a\0c"), mine.session("3", b"1 a\0c")]
    assert mine.session(session, b"c") not in others


@pytest.mark.parametrize("odd", [None, -1.0, 2.0**32, 1e300])
def test_sessions_are_neighbours_in_the_order_of_their_time(odd):
    """Also within a second; a time that no clock shows is none."""
    mine = Pseudonyms(b"k" * 32)
    times = [0.0, 1.7e9, 1.7e9 + 1, 2.0**32 - 1]
    keys = [mine.session("s", b"content", each) for each in times]
    assert keys == sorted(keys)
    assert mine.session("s", b"content", 1.7e9 + 0.5) == keys[1]
    assert mine.session("s", b"content", odd) == mine.session("s", b"content")


def test_a_contact_s_own_key_is_that_of_its_email_else_of_its_phone():
    """And the phone's key goes along, to find the person by either."""
    mine = Pseudonyms(b"k" * 32)
    email, phone = mine.email("ann@example.com"), mine.phone("+12225555151")
    assert mine.keys("ann@example.com", "+12225555151") == (email, phone)
    assert mine.keys("ann@example.com", None) == (email, None)
    assert mine.keys(None, "+12225555151") == (phone, phone)
    assert mine.keys(None, None) == (None, None)


# --- What earlier versions stored stays readable: known values, never to be changed ---------------

STORED_SECRET = (
    b"gAAAAABlU_EAglY19FTfr35bOdtwZKELKTqhXuPxTzju9kns-WBzlojZGELiFYM0CRau8H5Eo43Lbk8cPKBxYfUS6ogJ"
    b"4Pwpvw=="
)


def test_a_secret_of_an_earlier_version_is_read():
    """The way from `SECRET_KEY` to the key of encryption is part of what is stored."""
    assert Vault([OLD]).decrypt(STORED_SECRET) == b"secret"


def test_people_and_contents_of_an_earlier_version_are_known_again():
    """Else an upgrade would let old answers pass newer ones, and take each repeat for new."""
    mine = Pseudonyms(b"k" * 32)
    content = b'{"a": 1}'
    assert mine.email("ann@example.com") == "ebb356f2a2ca706e9bd5ded00ec4e913"
    assert mine.phone("+12225555151") == "c6c218f25ecd7856021a0caef854b040"
    assert mine.content(content) == "68ceb3b3c95b654933e0a88cfffdceb3"
    assert mine.session("s-1", content) == "74a6d6e113ee3220397b82a9e5265079"
    assert mine.session("s-1", content, 1_700_000_000.0) == "6553f10013ee3220397b82a9e5265079"


def test_a_pseudonym_is_a_keyed_digest_of_kind_and_value():
    """HMAC-SHA256, of which 128 bits are kept: by another way than the code's own."""
    digest = hmac.new(b"k" * 32, b"email\0ann@example.com", "sha256").hexdigest()
    assert Pseudonyms(b"k" * 32).email("ann@example.com") == digest[:32]


def test_what_is_rotated_is_read_with_the_newest_key_alone():
    """And what none of the keys wrote is refused."""
    rotated = Vault([NEW, OLD]).rotate(STORED_SECRET)
    assert Vault([NEW]).decrypt(rotated) == b"secret"
    with pytest.raises(WrongSecretKey):
        Vault([OLD]).decrypt(rotated)
    with pytest.raises(WrongSecretKey):
        Vault([NEW]).rotate(STORED_SECRET)


def test_the_last_second_of_an_unsigned_clock_has_its_place():
    """Times fill eight digits of the key: 2106, not 2038, is where they end."""
    mine = Pseudonyms(b"k" * 32)
    assert mine.session("s", b"content", 2.0**32 - 1).startswith("ffffffff")
    assert mine.session("s", b"content", 2.0**31).startswith("80000000")


EMAIL, PHONE = "ann@example.com", "+12225555151"


@pytest.mark.parametrize(
    ("email", "phone", "email_at", "sms_at", "known"),
    [
        (EMAIL, PHONE, 1.0, 2.0, {"email": 1.0, "phone": 2.0}),
        (EMAIL, PHONE, 1.0, None, {"email": 1.0}),
        (EMAIL, PHONE, None, 2.0, {"phone": 2.0}),
        (EMAIL, PHONE, 0.0, 0.0, {"email": 0.0, "phone": 0.0}),
        (EMAIL, PHONE, None, None, {}),
        (EMAIL, None, 1.0, 2.0, {"email": 1.0, "texts": 2.0}),
        (EMAIL, None, None, 0.0, {"texts": 0.0}),
        (None, PHONE, 1.0, 2.0, {"phone": 2.0}),
        (None, None, 1.0, 2.0, {}),
    ],
)
def test_a_no_is_remembered_for_each_address_that_it_is_about(
    email, phone, email_at, sms_at, known
):
    """Also one of the year 1970; a no to texts without a number is about the email address's."""
    mine = Pseudonyms(b"k" * 32)
    email_key, phone_key = mine.email(EMAIL), mine.phone(PHONE)
    keys = {"email": email_key, "phone": phone_key, "texts": texts_key(email_key)}
    assert len({*keys.values()}) == 3
    said = mine.refused(email, phone, email_at=email_at, sms_at=sms_at)
    assert said == {keys[kind]: at for kind, at in known.items()}
