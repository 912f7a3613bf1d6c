"""Who may use Jebbit's API for an account."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """A client of Jebbit's API; never shown.

    `business_id` names the business that is meant, where the client may act for several.
    """

    client_id: str
    client_secret: str = field(repr=False)
    business_id: str | None = None
