"""The key goes to Cordial, and nowhere else."""

import pytest

from app.cordial.account import BadAccountUrl, api_base
from tests.table import table

DEFAULT = "https://api.cordial.io/v2"
USW2 = "https://api.usw2.cordial.io/v2"
SANDBOX = frozenset({"localhost:9100", "[::1]:9100", "relay.example:443"})


@table(
    ("account_url", "base"),
    [
        ("https://admin.cordial.io", DEFAULT),
        ("https://admin.cordial.io/", DEFAULT),
        ("https://admin.cordial.com", DEFAULT),
        ("https://admin.cordial.io:443", DEFAULT),
        ("https://ADMIN.Cordial.IO", DEFAULT),
        ("HTTPS://admin.cordial.io", DEFAULT),
        ("  https://admin.cordial.io \n", DEFAULT),
        ("https://admin.cordial.io/v2", DEFAULT),
        ("https://admin.cordial.io/dashboard/home", DEFAULT),
        ("admin.cordial.io", DEFAULT),
        ("admin.cordial.io/", DEFAULT),
        ("https://api.cordial.io", DEFAULT),
        ("https://api.cordial.io/", DEFAULT),
        ("https://api.cordial.io/v2", DEFAULT),
        ("https://api.cordial.io/v2/", DEFAULT),
        ("https://api.cordial.io/docs/v2/", DEFAULT),
        ("https://api.cordial.com/v2", DEFAULT),
        ("api.cordial.io/v2", DEFAULT),
        ("https://usw2.admin.cordial.io", USW2),
        ("https://usw2.admin.cordial.com/", USW2),
        ("usw2.admin.cordial.io", USW2),
        ("https://api.usw2.cordial.io/v2", USW2),
        ("https://api.usw2.cordial.com/docs/v2/", USW2),
        ("https://api.eu-west-1.cordial.io", "https://api.eu-west-1.cordial.io/v2"),
        (f"https://{'x' * 63}.admin.cordial.io", f"https://api.{'x' * 63}.cordial.io/v2"),
        ("https://e.admin.cordial.io", "https://api.e.cordial.io/v2"),
    ],
)
def test_every_form_a_customer_may_paste_leads_to_the_api(account_url, base):
    """Account or API URL, any region, with or without scheme, path and slash: one address."""
    assert api_base(account_url) == base


@table(
    "account_url",
    [
        "https://example.com",
        "https://admin.cordial.io.evil.com",
        "https://admin.cordial.io.evil.com/v2",
        "https://evil-admin.cordial.io.co",
        "https://evil.com/admin.cordial.io",
        "https://evil.com\\@admin.cordial.io",
        "https://evil.com\\.admin.cordial.io",
        "https://admin-cordial.io",
        "https://admincordial.io",
        "https://xadmin.cordial.io",
        "https://api.cordial.io.evil.com",
        "https://a.b.admin.cordial.io",
        "https://api.a.b.cordial.io",
        "https://evil_x.admin.cordial.io",
        "https://cordial.io",
        "https://www.cordial.io",
        "https://admin.cordial.io.",
        "https://admin.cord\u0131al.io",  # a dotless i
        "https://admin\u3002cordial.io",  # an ideographic full stop
        "https://admin.cordial.io%2eevil.com",
        f"https://{'x' * 64}.admin.cordial.io",  # DNS knows no such name
        f"https://api.{'x' * 64}.cordial.io",
        "https://-.admin.cordial.io",
        "https://api.eu-.cordial.io",
        "https://user:pass@admin.cordial.io",
        "https://user@admin.cordial.io",
        "https://@admin.cordial.io",
        "https://:pass@admin.cordial.io",
        "https://admin.cordial.io@evil.com",
        "https://admin.cordial.io:8443",
        "https://admin.cordial.io:80",
        "https://admin.cordial.io:0",
        "https://admin.cordial.io:port",
        "https://admin.cordial.io:99999",
        "http://admin.cordial.io",
        "http://api.cordial.io/v2",
        "http://admin.cordial.io:443",
        "ftp://admin.cordial.io",
        "file:///etc/passwd",
        "https://admin.cordial.io?x=1",
        "https://admin.cordial.io#x",
        "https://[::1",
        "https://",
        "//admin.cordial.io",
        "javascript:alert(1)",
        "",
        "   ",
    ],
)
def test_any_other_address_is_refused(account_url):
    """Look-alikes, other ports, plain http, and credentials in the URL do not get the key."""
    with pytest.raises(BadAccountUrl):
        api_base(account_url)


@pytest.mark.parametrize(
    ("account_url", "told"),
    [
        ("https://example.com", "https://admin.cordial.io"),
        ("https://example.com", "CORDIAL_EXTRA_HOSTS"),
        ("https://user:pass@admin.cordial.io", "Leave out user"),
        ("https://admin.cordial.io:port", "is no address"),
    ],
)
def test_a_refusal_says_what_to_give_instead(account_url, told):
    """The message is for the person who pasted the address."""
    with pytest.raises(BadAccountUrl) as refused:
        api_base(account_url)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "account_url",
    [
        "https://ann:hunter2@admin.cordial.io",
        "ann:hunter2@admin.cordial.io",
        pytest.param(
            "https://ann:hunter2@admin.cordial.io:port",
        ),
    ],
)
def test_a_refusal_does_not_repeat_a_password(account_url):
    """What is pasted between // and @ is somebody's password: no answer shows it."""
    with pytest.raises(BadAccountUrl) as refused:
        api_base(account_url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("account_url", "base"),
    [
        ("http://localhost:9100", "http://localhost:9100/v2"),
        ("https://localhost:9100", "https://localhost:9100/v2"),
        ("http://LOCALHOST:9100/", "http://localhost:9100/v2"),
        ("http://localhost:9100/v2", "http://localhost:9100/v2"),
        ("http://localhost:9100/docs/v2/", "http://localhost:9100/v2"),
        ("https://relay.example:443", "https://relay.example:443/v2"),
        ("https://admin.cordial.io", DEFAULT),
    ],
)
def test_a_listed_host_is_reached_by_http_and_https(account_url, base):
    """`CORDIAL_EXTRA_HOSTS` adds hosts, /v2 appended; Cordial's own stay."""
    assert api_base(account_url, SANDBOX) == base


@pytest.mark.parametrize(
    "account_url",
    [
        "http://localhost:9101",
        "http://localhost",
        "http://user@localhost:9100",
        "http://localhost:9100?x",
        "ftp://localhost:9100",
        "http://localhost.evil.com:9100",
        "http://admin.cordial.io",
    ],
)
def test_a_listed_host_opens_nothing_else(account_url):
    """Neither another port or scheme, nor plain http on Cordial's own hosts."""
    with pytest.raises(BadAccountUrl):
        api_base(account_url, SANDBOX)


def test_a_listed_ipv6_address_is_reached():
    """It is listed as it stands in an address, in brackets."""
    assert api_base("http://[::1]:9100", {"[::1]:9100"}) == "http://[::1]:9100/v2"
