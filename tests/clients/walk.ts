// Set an integration up with the generated TypeScript client, and see a submission delivered.
// `node walk.js <service> <token> <account> <secret>`; it prints the webhook's address and reads a
// line when the webhook was posted.
import { createInterface } from "node:readline/promises";
import createClient from "openapi-fetch";
import type { paths } from "./generated.js";

const [baseUrl, token, account, secret] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function taken<T>(answer: { data?: T; error?: { detail: string } }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no answer");
  return answer.data;
}

const made = taken(
  await client.POST("/integrations", {
    body: {
      name: "TypeScript quiz",
      state: "paused",
      cordial: { account_url: account, api_key: "sandbox-key" },
      policy: { collect: "both", opt_in: "opted_in_only", auto_subscribe: true },
    },
  }),
);
const params = { path: { integration_id: made.id } };
taken(await client.POST("/integrations/{integration_id}/webhook-secrets", { params, body: { secret } }));
const checked = taken(await client.POST("/integrations/{integration_id}/check", { params }));
if (!checked.ok) throw new Error(JSON.stringify(checked.findings));
const resumed = taken(await client.POST("/integrations/{integration_id}/resume", { params }));
if (resumed.state !== "active" || resumed.policy.opt_in !== "opted_in_only") throw new Error(resumed.state);

console.log(made.webhook_url);
const input = createInterface({ input: process.stdin });
await input[Symbol.asyncIterator]().next();
input.close();

let first = undefined;
for (let tries = 0; tries < 200 && (!first || first.status === "pending"); tries += 1) {
  const query = { integration: made.id, since: "1h" };
  [first] = taken(await client.GET("/submissions", { params: { query } })).submissions;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
if (!first) throw new Error("nothing came");
const shown = taken(
  await client.GET("/submissions/{submission_id}", { params: { path: { submission_id: first.id } } }),
);
if (shown.status !== "delivered" || shown.attempts[0]?.http_status !== 201) throw new Error(shown.status);
const counted = taken(await client.POST("/submissions/replay", { body: { integration: made.id } }));
if (!counted.dry_run || counted.replayed !== 1) throw new Error(JSON.stringify(counted));
