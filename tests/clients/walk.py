"""Set an integration up with the generated Python client, and see a submission delivered.

Run in the environment of the generator: `walk.py <service> <token> <account> <secret>`. It prints
the webhook's address and reads a line when the webhook was posted.
"""

import sys
import time

from generated import AuthenticatedClient
from generated.api.integrations import (
    add_webhook_secret,
    check_integration,
    create_integration,
    resume_integration,
)
from generated.api.submissions import get_submission, list_submissions, replay_submissions
from generated.models import (
    CordialAccount,
    NewIntegration,
    NewSecret,
    Policy,
    PolicyCollect,
    PolicyOptIn,
    SubmissionFilter,
    SubmissionStatus,
)

url, token, account, secret = sys.argv[1:]
quiz = "python-quiz"
with AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True) as client:
    made = create_integration.sync(
        client=client,
        body=NewIntegration(
            name="Python quiz",
            cordial=CordialAccount(account_url=account, api_key="sandbox-key"),
            policy=Policy(
                collect=PolicyCollect.BOTH,
                opt_in=PolicyOptIn.OPTED_IN_ONLY,
                auto_subscribe=True,
            ),
        ),
    )
    assert made.id == quiz, made
    assert made.created_at.tzinfo is not None
    add_webhook_secret.sync(quiz, client=client, body=NewSecret(secret=secret))
    checked = check_integration.sync(quiz, client=client)
    assert checked.ok, checked
    resumed = resume_integration.sync(quiz, client=client)
    assert resumed.state.value == "active", resumed
    print(made.webhook_url, flush=True)
    sys.stdin.readline()
    for _ in range(200):
        page = list_submissions.sync(client=client, integration=quiz, since="1h")
        if page.submissions and page.submissions[0].status is not SubmissionStatus.PENDING:
            break
        time.sleep(0.05)
    [found] = page.submissions
    shown = get_submission.sync(found.id, client=client)
    assert shown.status is SubmissionStatus.DELIVERED, shown
    assert shown.attempts[0].http_status == 201, shown
    counted = replay_submissions.sync(client=client, body=SubmissionFilter(integration=quiz))
    assert (counted.dry_run, counted.replayed) == (True, 1), counted
