"""The oracle of the law: what may be asked of Cordial for one item of a webhook.

It is written from the rules alone and reads by other means than the service does: URLs by
`urllib.parse` on every cut of every text and of every further decoding, keys and words by its own
folding and its own tables.

It knows doubt. What an item says has one reading or several, each *hard* or *soft*. A hard reading
is one that the rules name: what it forbids is a breach. A soft one is a reading that the service
may choose as well, such as not to believe a key because a text looks like a URL: nothing is
demanded that a soft reading denies. So a false alarm of the service is never an error here, but a
belief that any reading forbids is one.
"""

from tests.rules.oracle.documents import JsonObject, load
from tests.rules.oracle.folding import fold_key
from tests.rules.oracle.items import Item
from tests.rules.oracle.judgement import judge
from tests.rules.oracle.law import SUB, UNSUB, When, World
from tests.rules.oracle.readings import DAY, EU, EXPRESS, Law
from tests.rules.oracle.source import Source

__all__ = [
    "DAY",
    "EU",
    "EXPRESS",
    "SUB",
    "UNSUB",
    "Item",
    "JsonObject",
    "Law",
    "Source",
    "When",
    "World",
    "fold_key",
    "judge",
    "load",
]
