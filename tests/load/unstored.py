"""The service on a ledger that nods and stores nothing: `python -m tests.load.unstored serve`.

To see what a webhook costs before anything of it is stored.
"""

import runpy
from collections.abc import Sequence

from app.ledger import accepting
from app.ledger.accepting import Accepted, Arrival, new_id
from app.ledger.database import Database


async def _nod(database: Database, arrivals: Sequence[Arrival]) -> Sequence[Accepted]:
    return [
        Accepted([new_id(each.received_at) for _ in each.items], pending=len(each.items))
        for each in arrivals
    ]


accepting.accept = _nod
runpy.run_module("app", run_name="__main__")
