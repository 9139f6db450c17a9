// The seed's own JavaScript, the official audit of GraphQL over HTTP, and a subscription: node story.mjs BASE EMAIL PASSWORD
// Alice belongs to two accounts, one of each affiliation, and owns the thing dev-1 in the Australian one.
import assert from "node:assert/strict";
import { auditServer } from "graphql-http";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [base, email, password] = process.argv.slice(2);
const uri = `${base}/`;
const pause = () => new Promise((done) => setTimeout(done, 1100));
let passed = 0;

async function test(name, run) {
  await run();
  passed += 1;
  console.log(`ok ${name}`);
}

const post = (body, token) =>
  fetch(uri, { method: "POST", headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) }, body: JSON.stringify(body) });

async function login(input) {
  await pause();
  const bodyJSON = {
    variables: { input: { email, password, ...input } },
    query: `
mutation ($input: LoginInput!) {
  login(input: $input) {
    token message code success
  }
}`,
  };
  return (await (await post(bodyJSON)).json()).data.login;
}

let token;

await test("login: affiliation, its codes, one refusal for wrong password and unknown address", async () => {
  const several = await login({});
  assert.deepEqual([several.code, several.success, several.token], ["NEED_AFFILIATION", false, null]);
  const [aus, lux] = [await login({ affiliation: "FP_AUS" }), await login({ affiliation: "FP_LUX" })];
  assert.deepEqual([aus.message, aus.code, aus.success, lux.code], ["OK", "SUCCESS", true, "SUCCESS"]);
  token = aus.token;
  const wrong = await login({ password: "wrong", affiliation: "FP_AUS" });
  const unknown = await login({ email: "nobody@example.com", affiliation: "FP_AUS" });
  assert.equal(wrong.success, false);
  assert.deepEqual(wrong, unknown);
  const other = await login({ email: "rita@example.com", password: "rita only ever reads", affiliation: "FP_LUX" });
  assert.equal(other.code, "UNREGISTERED");
});

await test("the token says when it ends, four hours on", () => {
  const { iat, exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  assert.equal(exp - iat, 4 * 3600);
  assert.ok(Date.now() < exp * 1000);
});

await test("twice within a second is 429 in the platform's shape", async () => {
  await pause();
  const query = `mutation { login(input: {email: "quick@example.com" password: "12345678"}) { code } }`;
  await post({ query });
  const answer = await post({ query });
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get("retry-after")) >= 1);
  const body = await answer.json();
  assert.deepEqual([body.success, body.code], [false, "TOO_MANY_REQUESTS"]);
  assert.ok(body.retrySecs >= 1);
});

await test("a message published arrives in a subscription over graphql-transport-ws", async () => {
  const client = createClient({ url: uri.replace("http", "ws") + "graphql", webSocketImpl: WebSocket, connectionParams: { authorization: `Bearer ${token}` } });
  const live = client.iterate({ query: `subscription { messages(thing: "dev-1") { text direction status } }` });
  const next = live.next();
  await pause();
  const sent = await (await post({ query: `mutation { publish(input: {thing: "dev-1", text: "up"}) { code stored { id } } }` }, token)).json();
  assert.equal(sent.data.publish.code, "SUCCESS");
  assert.deepEqual((await next).value.data.messages, { text: "up", direction: "OUTBOUND", status: "QUEUED" });
  await live.return();
  await client.dispose();
});

await test("another tenant's thing is null, as one that does not exist", async () => {
  const answer = await (await post({ query: `{ foreign: thing(id: "dev-9") { id } absent: thing(id: "nothing") { id } own: thing(id: "dev-1") { key } }` }, token)).json();
  assert.deepEqual(answer, { data: { foreign: null, absent: null, own: { key: "dev-1" } } });
});

await test("queries too deep, too wide or with too many names are refused", async () => {
  const names = Array.from({ length: 21 }, (_, n) => `a${n}: __typename`).join(" ");
  const logins = `a: login(input: {email: "x@example.com" password: "1"}) { code }`;
  for (const query of [`{ ${names} }`, `mutation { ${logins} ${logins.replace("a:", "b:")} }`, `{ me ${"{ user ".repeat(20)}${"}".repeat(20)} }`]) {
    const body = await (await post({ query }, token)).json();
    assert.ok(body.errors?.length, query);
  }
});

await test("logout ends that token alone", async () => {
  const other = (await login({ affiliation: "FP_AUS" })).token;
  const out = await (await post({ query: "mutation { logout { code } }" }, token)).json();
  assert.equal(out.data.logout.code, "SUCCESS");
  const me = async (bearer) => (await post({ query: "{ me { user { email } } }" }, bearer)).json();
  assert.equal((await me(token)).errors[0].extensions.code, "UNAUTHENTICATED");
  assert.equal((await me(other)).data.me.user.email, email);
  assert.equal((await me("garbage")).errors[0].extensions.code, "UNAUTHENTICATED");
});

await test("graphql-http's audit: no error, no warning", async () => {
  const results = await auditServer({ url: `${base}/graphql` });
  assert.deepEqual(results.filter((r) => r.status !== "ok").map((r) => `${r.status} ${r.name}`), []);
  assert.ok(results.length >= 60);
});

console.log(`${passed} passed`);
