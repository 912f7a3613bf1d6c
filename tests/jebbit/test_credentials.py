"""Credentials of Jebbit's API."""

from app.jebbit.credentials import ApiCredentials


def test_a_secret_is_never_shown():
    assert repr(ApiCredentials("client", "hush")) == (
        "ApiCredentials(client_id='client', business_id=None)"
    )
