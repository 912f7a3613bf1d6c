"""Secrets at rest, and the keys by which we know people without their address."""

import base64
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

WRONG_KEY = (
    "SECRET_KEY is not the one this ledger was written with; add the old one to it, after a comma"
)


class WrongSecretKey(Exception):
    """None of the keys in `SECRET_KEY` decrypts what is stored."""


class Vault:
    """Encrypts with the first of its keys and decrypts with any, so keys can be rotated."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        """Take the keys, newest first: strings too long to be guessed."""
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in secret_keys])

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt with the newest key."""
        return self._fernet.encrypt(plain)

    def decrypt(self, token: bytes) -> bytes:
        """Decrypt with whichever key fits.

        Raises:
            WrongSecretKey: no key fits.
        """
        with _known_key():
            return self._fernet.decrypt(token)

    def rotate(self, token: bytes) -> bytes:
        """Encrypt a token again, with the newest key.

        Raises:
            WrongSecretKey: no key fits.
        """
        with _known_key():
            return self._fernet.rotate(token)


@contextmanager
def _known_key() -> Iterator[None]:
    try:
        yield
    except InvalidToken:
        raise WrongSecretKey(WRONG_KEY) from None


def _derive(secret_key: str) -> bytes:
    derived = HKDF(SHA256(), 32, salt=None, info=b"jebbit-cordial-sync vault")
    return base64.urlsafe_b64encode(derived.derive(secret_key.encode()))


OF_TEXTS = "texts"
"""How the key begins of a no to texts that came without a number; a digest has no such letters."""


def texts_key(contact_key: str) -> str:
    """Return the key under which the contact of an email address says no to texts altogether."""
    return OF_TEXTS + contact_key[len(OF_TEXTS) :]


class Pseudonyms:
    """Keyed digests: equal inputs give equal digests, which reveal nothing of the input.

    Their key is random. The ledger keeps it, encrypted by the vault: `SECRET_KEY` can change, and
    we still recognize every person.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    def email(self, address: str) -> str:
        """Return the contact key of a normalized email address."""
        return self._digest("email", address.encode())

    def phone(self, number: str) -> str:
        """Return the contact key of a phone number in E.164."""
        return self._digest("phone", number.encode())

    def keys(self, email: str | None, phone: str | None) -> tuple[str | None, str | None]:
        """Return the keys of a contact with these addresses: its own, and that of its phone.

        A contact's own key is that of its email address or, without one, of its phone.
        """
        phone_key = self.phone(phone) if phone else None
        return self.email(email) if email else phone_key, phone_key

    def refused(
        self,
        email: str | None,
        phone: str | None,
        *,
        email_at: float | None,
        sms_at: float | None,
    ) -> dict[str, float]:
        """Return when somebody said no to email and to SMS (unix seconds), by address key.

        A no to texts without a number is one to the texts of the email address. A no to a channel
        of somebody who has no address for it is left out.
        """
        said = {}
        if email and email_at is not None:
            said[self.email(email)] = email_at
        if phone and sms_at is not None:
            said[self.phone(phone)] = sms_at
        elif email and sms_at is not None:
            said[texts_key(self.email(email))] = sms_at
        return said

    def content(self, content: bytes) -> str:
        """Return a digest that equal contents share."""
        return self._digest("content", content)

    def session(self, session: str, content: bytes, occurred_at: float | None = None) -> str:
        """Return the digest of a session's id and content.

        If the content says when it happened (unix seconds), the digest begins with that time: new
        sessions are then neighbours in an index, on few pages.
        """
        digest = self._digest(f"session {len(session)} {session}", content)
        if occurred_at is None or not 0 <= occurred_at < 2**32:
            return digest
        return f"{int(occurred_at):08x}{digest[8:]}"

    def _digest(self, kind: str, value: bytes) -> str:
        made = self._keyed.copy()
        made.update(kind.encode() + b"\0" + value)
        return made.hexdigest()[:32]
