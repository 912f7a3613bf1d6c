"""Every contact we send is one that Cordial's own description allows.

The description is not ours to keep here: without it, these tests are skipped.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.conftest import SandboxServer, Service

ROOT = Path(__file__).parents[2]
DESCRIPTION = ROOT.parent / "shared" / "specs" / "cordial-v2.swagger.json"
CASES = sorted((ROOT / "tests" / "fixtures" / "cases").glob("*/plan.json"))

# Where we know better than the description, with the reason.
DEVIATIONS = {
    # A contact may have another channel than one of the key `email`; the description's own examples
    # of SMS contacts have none, and channels have the names that the account gave them.
    (("channels",), '"email" is a required property'),
}

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(), reason="NO DESCRIPTION OF CORDIAL'S API: nothing to compare with"
)


def usable(node: Any) -> Any:
    """Return a schema without `required: []`, which is no JSON Schema."""
    if isinstance(node, dict):
        return {key: usable(each) for key, each in node.items() if (key, each) != ("required", [])}
    return [usable(each) for each in node] if isinstance(node, list) else node


@pytest.fixture(scope="module")
def contact() -> jsonschema_rs.Draft4Validator:
    """What the body of POST /contacts may be."""
    described = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    post = described["paths"]["/v2/contacts"]["post"]
    [body] = [each for each in post["parameters"] if each["in"] == "body"]
    schema, wanted, definitions = body["schema"], [body["schema"]], {}
    while wanted:
        for name in re.findall(r"#/definitions/(\w+)", json.dumps(wanted.pop())):
            if name not in definitions:
                definitions[name] = usable(described["definitions"][name])
                wanted.append(definitions[name])
    return jsonschema_rs.Draft4Validator({**schema, "definitions": definitions})


def deviations(contact: jsonschema_rs.Draft4Validator, body: Any) -> Iterator[Any]:
    for error in contact.iter_errors(body):
        yield tuple(error.instance_path), error.message


def test_every_golden_contact_is_as_described(contact):
    """And each deviation that is listed still is one."""
    found = {}
    for file in CASES:
        body = json.loads(file.read_text(encoding="utf-8")).get("upsert")
        if body is not None:
            found[file.parent.name] = set(deviations(contact, body))
    assert len(found) > 100
    unknown = {name: each - DEVIATIONS for name, each in found.items() if each - DEVIATIONS}
    assert unknown == {}
    assert set().union(*found.values()) == DEVIATIONS


def test_what_is_sent_is_as_described(contact, service, sandbox_server: SandboxServer):
    """On the wire: the contact itself, and what is left of it after refusals."""
    running: Service = service()
    running.create_integration(
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "no_such_field"},
        ]
    )
    [sent] = running.post({"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}).json()[
        "submissions"
    ]
    assert running.wait(sent)["status"] == "delivered"
    bodies = sandbox_server.bodies("ann@example.com")
    assert len(bodies) == 2
    assert [each for body in bodies for each in deviations(contact, body)] == []
