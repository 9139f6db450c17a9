// Independent OpenID clients go through the code flow: node story.mjs ISSUER BASE EMAIL PASSWORD
// The gateway knows a confidential client `backend` and a public one `spa`, both with the callback below.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import * as client6 from "openid-client";
import { Issuer, generators } from "openid-client-5";
import OidcClient from "oidc-client";
import { Browser } from "./browser.mjs";

const [issuer, base, email, password] = process.argv.slice(2);
const callback = "http://127.0.0.1:9999/cb";
const secret = "s3cr3t-of-the-backend";
const who = { email, password };
let passed = 0;

/** What oidc-client needs of a browser's XMLHttpRequest, over fetch. */
class FetchXhr {
  open(method, url) { Object.assign(this, { method, url, headers: {} }); }
  setRequestHeader(name, value) { this.headers[name] = value; }
  getResponseHeader(name) { return this.response.headers.get(name); }
  send(body) {
    fetch(this.url, { method: this.method, headers: this.headers, body }).then(async (response) => {
      this.response = response;
      this.status = response.status;
      this.responseText = await response.text();
      this.onload?.();
    }, (error) => this.onerror?.(error));
  }
}

async function test(name, run) {
  await run();
  passed += 1;
  console.log(`ok ${name}`);
}

await test("openid-client 5: confidential client, nonce, refresh, userinfo, introspection, revocation", async () => {
  const found = await Issuer.discover(issuer);
  const client = new found.Client({ client_id: "backend", client_secret: secret, redirect_uris: [callback], response_types: ["code"] });
  const [nonce, state] = [generators.nonce(), generators.state()];
  const url = client.authorizationUrl({ scope: "openid email profile", nonce, state });
  const browser = new Browser();
  const answer = await browser.authorize(url, callback, who);
  assert.deepEqual(browser.seen.length >= 1, true);
  const tokens = await client.callback(callback, client.callbackParams(answer), { nonce, state });
  const claims = tokens.claims();
  assert.equal(claims.email, email);
  const info = await client.userinfo(tokens);
  assert.equal(info.sub, claims.sub);
  assert.equal(info.emailVerified, true);
  assert.ok(info.tenant);
  const next = await client.refresh(tokens);
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  assert.equal((await client.introspect(next.access_token)).active, true);
  await client.revoke(next.refresh_token);
  assert.equal((await client.introspect(next.access_token)).active, false);
  await assert.rejects(client.refresh(next.refresh_token), /invalid_grant/);
  await assert.rejects(client.userinfo(next.access_token), /invalid_token/);
});

await test("openid-client 6: public client with PKCE, form_post answer, logout", async () => {
  const config = await client6.discovery(new URL(issuer), "spa", undefined, client6.None(), { execute: [client6.allowInsecureRequests] });
  const verifier = client6.randomPKCECodeVerifier();
  const url = client6.buildAuthorizationUrl(config, {
    redirect_uri: callback, scope: "openid profile", response_mode: "form_post", state: "xyz",
    code_challenge: await client6.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  const browser = new Browser();
  const { action, fields } = await browser.authorize(url.href, callback, who);
  assert.equal(action, callback);
  const arrived = new Request(callback, { method: "POST", body: new URLSearchParams(fields) });
  const tokens = await client6.authorizationCodeGrant(config, arrived, { pkceCodeVerifier: verifier, expectedState: "xyz" });
  assert.ok(tokens.claims().sub);
  const refreshed = await client6.refreshTokenGrant(config, tokens.refresh_token);
  assert.ok(refreshed.access_token);
  const out = client6.buildEndSessionUrl(config, { post_logout_redirect_uri: callback, id_token_hint: tokens.id_token, state: "bye" });
  const response = await browser.fetch(out);
  assert.equal(response.status, 303);
  assert.equal(response.headers.get("location"), `${callback}?state=bye`);
  assert.equal(browser.cookies.size, 0);
  await assert.rejects(client6.refreshTokenGrant(config, refreshed.refresh_token));
});

await test("oauth4webapi: client credentials, code used twice ends the session", async () => {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const url = new URL(issuer);
  const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure));
  const client = { client_id: "backend" };
  const auth = oauth.ClientSecretPost(secret);
  const granted = await oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(server, client, auth, new URLSearchParams(), insecure));
  assert.ok(granted.access_token);
  assert.equal(granted.refresh_token, undefined);

  const verifier = oauth.generateRandomCodeVerifier();
  const ask = new URL(server.authorization_endpoint);
  ask.search = new URLSearchParams({
    client_id: "backend", redirect_uri: callback, response_type: "code", scope: "openid",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  const answer = new URL(await new Browser().authorize(ask.href, callback, who));
  const params = oauth.validateAuthResponse(server, client, answer, oauth.expectNoState);
  const redeem = () => oauth.authorizationCodeGrantRequest(server, client, auth, params, callback, verifier, insecure);
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, await redeem(), { requireIdToken: true });
  assert.equal((await redeem()).status, 400);
  const again = await oauth.userInfoRequest(server, client, tokens.access_token, insecure);
  assert.equal(again.status, 401);
});

await test("oidc-client 1.11.5: answer in the query", async () => {
  const { OidcClient: Client, InMemoryWebStorage, WebStorageStateStore } = OidcClient;
  // The library takes whoever has a window for a browser.
  Object.assign(globalThis, { window: globalThis, XMLHttpRequest: FetchXhr });
  const store = new WebStorageStateStore({ store: new InMemoryWebStorage() });
  const client = new Client({ authority: issuer, client_id: "spa", redirect_uri: callback, response_type: "code", scope: "openid email profile", stateStore: store, loadUserInfo: true });
  const request = await client.createSigninRequest({ state: "there" });
  const answer = await new Browser().authorize(request.url, callback, who);
  const signedIn = await client.processSigninResponse(answer);
  assert.equal(signedIn.profile.email, email);
  assert.equal(signedIn.state, "there");
});

await test("openid-client 6: a device waits for its user (RFC 8628)", async () => {
  const config = await client6.discovery(new URL(issuer), "spa", undefined, client6.None(), { execute: [client6.allowInsecureRequests] });
  const waiting = async () => {
    const asked = await client6.initiateDeviceAuthorization(config, { scope: "openid email" });
    assert.match(asked.user_code, /^[A-Z]{4}-[A-Z]{4}$/);
    return asked;
  };
  const say = async (asked, consent) => {
    const browser = new Browser();
    await browser.post(`${base}/console/login`, { email, password, next: "/" });
    const wrong = await browser.fetch(`${base}/console/device?user_code=BBBB-BBBB`);
    assert.equal(wrong.status, 404);
    const page = await (await browser.fetch(`${base}/console/device?user_code=${asked.user_code.toLowerCase()}`)).text();
    assert.match(page, /Allow a device/);
    const answer = await browser.post(`${base}/console/device`, { user_code: asked.user_code, consent });
    assert.equal(answer.status, 200);
    // What was said once cannot be said again.
    assert.equal((await browser.post(`${base}/console/device`, { user_code: asked.user_code, consent: "allow" })).status, 404);
  };
  const first = await waiting();
  const poll = client6.pollDeviceAuthorizationGrant(config, first);
  await say(first, "allow");
  const tokens = await poll;
  assert.equal(tokens.claims().email, email);
  assert.ok(tokens.refresh_token);
  const second = await waiting();
  await say(second, "deny");
  await assert.rejects(client6.pollDeviceAuthorizationGrant(config, { ...second, interval: 0 }), /access_denied|error/i);
  await assert.rejects(client6.pollDeviceAuthorizationGrant(config, { ...first, interval: 0 }));
});

await test("denied, unknown client, foreign redirect, prompt=none", async () => {
  const found = await Issuer.discover(issuer);
  const ask = (extra) => `${found.authorization_endpoint}?${new URLSearchParams({ client_id: "backend", redirect_uri: callback, response_type: "code", scope: "openid email profile", state: "s", ...extra })}`;
  const denied = new URL(await new Browser().authorize(ask({ prompt: "consent" }), callback, { ...who, consent: "deny" }));
  assert.equal(denied.searchParams.get("error"), "access_denied");
  assert.equal(denied.searchParams.get("state"), "s");
  assert.equal(denied.searchParams.get("iss"), found.issuer);
  for (const extra of [{ client_id: "nobody" }, { redirect_uri: "https://evil.example/cb" }, { redirect_uri: callback + "/x" }]) {
    const response = await fetch(ask(extra), { redirect: "manual" });
    assert.equal(response.status, 400, JSON.stringify(extra));
    assert.equal(response.headers.get("location"), null);
  }
  const silent = new URL(await new Browser().authorize(ask({ prompt: "none" }), callback, who));
  assert.equal(silent.searchParams.get("error"), "login_required");
  const implicit = new URL(await new Browser().authorize(ask({ response_type: "token" }), callback, who));
  assert.equal(implicit.searchParams.get("error"), "unsupported_response_type");
  const twice = await fetch(`${ask({})}&client_id=backend`, { redirect: "manual" });
  assert.equal(twice.status, 400);
});

console.log(`${passed} passed`);
