"""What the law is tried on: integrations, and the ways of a page's URL into an item."""

import json
from collections.abc import Callable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

ADA = "ada@example.com"
MOBILE = "+1 617 555 0123"
NOW = 1_750_000_000.0  # when webhooks come in: 15 June 2025
HOUR = 3600.0
ABSENT: Any = object()  # of a key that is not there

MAPPING = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone_number", "field": "channels.sms.address"},
]
NAMES = {"sms_opt_in": "sms_opt_in"}


def config(
    *,
    policy: Mapping[str, Any] | None = None,
    jebbit: Mapping[str, Any] | None = None,
    cordial: Mapping[str, Any] | None = None,
    mapping: list[dict[str, Any]] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """Return an integration's body: email and SMS, subscribing all that may be."""
    return {
        "name": "Spring quiz",
        "cordial": {
            "account_url": "https://admin.cordial.io",
            "api_key": "cordial-key-0001",
            "sms": {"program": "main"},
            **(cordial or {}),
        },
        "jebbit": {
            "webhook_secrets": ["jebbit-secret-0001"],
            "attributes": NAMES,
            **(jebbit or {}),
        },
        "mapping": MAPPING if mapping is None else mapping,
        "policy": {
            "collect": "both",
            "opt_in": "everyone",
            "auto_subscribe": True,
            "opt_in_field": "jebbit_opt_in",
            "resubscribe": "explicit_opt_in",
            "on_opt_out": "unsubscribe",
            **(policy or {}),
        },
        **rest,
    }


# --- the ways a parameter of the page's URL gets into an item: each yields the pairs of `data`


def wide(text: str) -> str:
    """Return ASCII in its full-width forms, which NFKC turns back."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def camel(name: str) -> str:
    """Return a name as programs write it: `opt_in` is `optIn`."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def percent(char: str) -> str:
    return f"%{ord(char):02X}"


def percent_u(char: str) -> str:
    return f"%u{ord(char):04x}"


def json_escape(char: str) -> str:
    return f"\\u{ord(char):04x}"


def entity(char: str) -> str:
    return f"&#x{ord(char):x};"


Pairs = list[tuple[str, Any]]
UrlForm = Callable[[str, str], Pairs]


def _params(write: Callable[[str, str], Any], key: str = "url_params") -> UrlForm:
    return lambda name, value: [(key, write(name, value))]


def _query(name: str, value: str) -> str:
    return f"{quote_plus(name)}={quote_plus(value)}"


def _page(name: str, value: str) -> str:
    return f"https://shop.example/quiz?a=1&{_query(name, value)}"


def _first(text: str, write: Callable[[str], str]) -> str:
    return write(text[0]) + text[1:]


IN_PARAMS: dict[str, Callable[[str, str], Any]] = {
    "first": lambda n, v: f"{_query(n, v)}&utm_source=x",
    "last": lambda n, v: f"utm_source=x&{_query(n, v)}",
    "with question mark": lambda n, v: f"?{_query(n, v)}",
    "before a link's query": lambda n, v: f"{_query(n, v)}&return_url=https://shop.example/?a=1",
    "before a lone question mark": lambda n, v: f"{_query(n, v)}&z=?",
    "before a hash": lambda n, v: f"{_query(n, v)}#top",
    "behind a hash": lambda n, v: f"a=1#{_query(n, v)}",
    "behind a hash's query": lambda n, v: f"a=1#/quiz?{_query(n, v)}",
    "behind a semicolon": lambda n, v: f"a=1;{_query(n, v)}",
    "before a semicolon": lambda n, v: f"{_query(n, v)};a=1",
    "behind two question marks": lambda n, v: f"?a=1?{_query(n, v)}",
    "behind empty parts": lambda n, v: f"&&{_query(n, v)}&&",
    "behind a comma": lambda n, v: f"a=1,{_query(n, v)}",
    "as a matrix parameter": lambda n, v: f"/quiz;{_query(n, v)}/start",
    "whole address": _page,
    "address with port and user": lambda n, v: f"https://me@shop.example:8443/?{_query(n, v)}",
    "without scheme": lambda n, v: f"//shop.example/?{_query(n, v)}",
    "with brackets": lambda n, v: f"a=1&{quote_plus(n)}[]={quote_plus(v)}",
    "with encoded brackets": lambda n, v: f"a=1&{quote_plus(n)}%5B%5D={quote_plus(v)}",
    "with a number in brackets": lambda n, v: f"{quote_plus(n)}[0]={quote_plus(v)}",
    "in brackets": lambda n, v: f"user[{quote_plus(n)}]={quote_plus(v)}",
    "in two brackets": lambda n, v: f"form[user][{quote_plus(n)}][]={quote_plus(v)}",
    "dotted": lambda n, v: f"user.{quote_plus(n)}={quote_plus(v)}",
    "encoded once more": lambda n, v: quote(f"a=1&{_query(n, v)}", safe=""),
    "encoded twice more": lambda n, v: quote(quote(f"a=1&{_query(n, v)}", safe=""), safe=""),
    "encoded ampersand": lambda n, v: f"a=1%26{_query(n, v)}",
    "in an encoded link": lambda n, v: f"u={quote_plus(_page(n, v))}",
    "in a link's link": lambda n, v: (
        f"u={quote_plus(f'https://x.example/?u={quote(_page(n, v))}')}"
    ),
    "encoded letters": lambda n, v: f"{''.join(map(percent, n))}={quote_plus(v)}",
    "letters encoded twice": lambda n, v: f"{quote(_first(n, percent))}={quote_plus(v)}",
    "percent u": lambda n, v: f"{_first(n, percent_u)}={quote_plus(v)}",
    "percent u ampersand": lambda n, v: f"a=1%u0026{_query(n, v)}",
    "JSON escapes": lambda n, v: f"a=1{json_escape('&')}{_first(n, json_escape)}={v}",
    "entities": lambda n, v: f"a=1&amp;{_query(n, v)}",
    "entity for the equals sign": lambda n, v: f"{quote_plus(n)}&#61;{quote_plus(v)}",
    "entity letters": lambda n, v: f"{_first(n, entity)}={quote_plus(v)}",
    "full width": lambda n, v: wide(f"a=1&{_query(n, v)}"),
    "other spelling": lambda n, v: f"{quote_plus(n.replace('_', ' ').title())}={quote_plus(v)}",
    "dashes": lambda n, v: f"{n.replace('_', '-').upper()}={quote_plus(v)}",
    "blank": lambda n, _: f"a=1&{quote_plus(n)}=",
    "name alone": lambda n, _: quote_plus(n),
    "name alone, among others": lambda n, _: f"a=1&{quote_plus(n)}&b=2",
    "spaces around": lambda n, v: f" {quote_plus(n)} = {quote_plus(v)} ",
    "JSON text": lambda n, v: json.dumps({"a": 1, n: v}),
    "JSON text of a list": lambda n, v: json.dumps([{n: v}]),
    "JSON text, cut off": lambda n, v: json.dumps({n: v, "a": "1"})[:-3],
    "JSON text with single quotes": lambda n, v: f"{{'a': 1, '{n}': '{v}'}}",
    "JSON text, encoded": lambda n, v: quote(json.dumps({n: v}), safe=""),
    "JSON text in JSON text": lambda n, v: json.dumps({"q": json.dumps({n: v})}),
    "JSON text with a query": lambda n, v: json.dumps({"query": _query(n, v)}),
    "brace and query": lambda n, v: f"{{{_query(n, v)}",
    "braces and query": lambda n, v: f"{{}}&{_query(n, v)}",
    "object": lambda n, v: {"a": "1", n: v},
    "object with a list": lambda n, v: {n: [v]},
    "object within": lambda n, v: {"query": {"a": [{n: v}]}},
    "object with a query": lambda n, v: {"query": f"?{_query(n, v)}"},
    "list of texts": lambda n, v: ["a=1", _query(n, v)],
    "list of objects": lambda n, v: [{n: v}],
    "list of pairs": lambda n, v: [["a", "1"], [n, v]],
}
IN_TEXTS: dict[str, UrlForm] = {
    "page_url": _params(_page, "page_url"),
    "page_url, url_params blank": lambda n, v: [("url_params", ""), ("page_url", _page(n, v))],
    "page_url, url_params null": lambda n, v: [("page_url", _page(n, v)), ("url_params", None)],
    "page_url, url_params of others": lambda n, v: [
        ("page_url", _page(n, v)),
        ("url_params", "a=1"),
    ],
    "page_url's hash": _params(lambda n, v: f"https://x.example/#/quiz?{_query(n, v)}", "page_url"),
    "page_url's semicolon": _params(lambda n, v: f"https://x.example/?a=1;{n}={v}", "page_url"),
    "page_url, query alone": _params(_query, "page_url"),
    "page_url, encoded": _params(lambda n, v: quote(_page(n, v), safe=""), "page_url"),
    "page_url, entities": _params(lambda n, v: escape(_page(n, v)), "page_url"),
    "page_url of a redirect": _params(
        lambda n, v: f"https://r.example/?u={quote(_page(n, v))}", "Page URL"
    ),
    "page_url as a list": _params(lambda n, v: [_page(n, v)], "page_url"),
    "page_url, blank": _params(lambda n, _: f"https://x.example/?a=1&{quote_plus(n)}=", "page_url"),
    "link": _params(_page, "link"),
    "referrer": _params(_page, "HTTP Referrer"),
    "landing page of an object": _params(lambda n, v: {"seen": [{"at": _page(n, v)}]}, "$metadata"),
    "answer in words": _params(
        lambda n, v: f"I came from {_page(n, v)} today", "how_did_you_find_us"
    ),
    "URL Params": _params(_query, "URL Params"),
    "url-params": _params(_query, "url-params"),
    "url_params twice, first": lambda n, v: [("url_params", _query(n, v)), ("url_params", "a=1")],
    "url_params twice, last": lambda n, v: [("url_params", "a=1"), ("url_params", _query(n, v))],
    "url_params under two keys": lambda n, v: [("url_params", "a=1"), ("Url Params", _query(n, v))],
}
URL_FORMS: dict[str, UrlForm] = {
    **{f"url_params: {form}": _params(write) for form, write in IN_PARAMS.items()},
    **IN_TEXTS,
}


def write(value: Any) -> str:
    """Return JSON; a list of pairs is an object, so that a key can come twice."""
    if isinstance(value, dict):
        value = list(value.items()) or {}
    if isinstance(value, list):
        if value and all(isinstance(each, tuple) for each in value):
            pairs = (f"{json.dumps(key)}:{write(inner)}" for key, inner in value)
            return "{" + ",".join(pairs) + "}"
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value)


def flat(pairs: Pairs) -> str:
    """Return the webhook of one flat session object."""
    return write(pairs or {})


def enveloped(pairs: Pairs) -> str:
    """Return the webhook of a list with one envelope."""
    return write([{"data": pairs or {}, "event": {"event_number": 0}}])


def beside(pairs: Pairs, *keys: str) -> str:
    """Return the webhook of one envelope, with some keys beside `data`."""
    within = [pair for pair in pairs if pair[0] not in keys]
    outside = [pair for pair in pairs if pair[0] in keys]
    return write([("data", within or {}), *outside])
