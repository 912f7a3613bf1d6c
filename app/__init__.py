"""Jebbit to Cordial sync: a signed Jebbit webhook becomes the right Cordial contact.

The way of a submission: `api.webhooks` reads the raw request, `jebbit` checks its signature and
splits it into submissions, `ledger` commits them (only then is the webhook answered), `delivery`
claims them in order for each contact, `rules` decides what Cordial should hold (mapping, opt-in
policy, plan), `cordial` sends it, and `delivery` settles the outcome back in the ledger.
"""

__version__ = "0.1.0"
