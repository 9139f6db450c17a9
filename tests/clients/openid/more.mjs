// Independent OpenID clients with keys, certificates and pushed requests:
// node more.mjs ISSUER BASE EMAIL PASSWORD INITIAL_TOKEN CERTIFICATE KEY CA
// They register themselves with the initial access token; certificate, key and CA are files, for mutual TLS.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import https from "node:https";
import * as oauth from "oauth4webapi";
import * as client6 from "openid-client";
import { Browser } from "./browser.mjs";

const [issuer, base, email, password, initial, certificate, key, ca] = process.argv.slice(2);
const callback = "http://127.0.0.1:9999/cb";
const who = { email, password };
const insecure = { [oauth.allowInsecureRequests]: true };
const execute = [client6.allowInsecureRequests];
let passed = 0;

async function test(name, run) {
  await run();
  passed += 1;
  console.log(`ok ${name}`);
}

const server = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), insecure));

/** Registers a client that may do what these stories do. */
async function register(metadata) {
  const asked = { redirect_uris: [callback], grant_types: ["authorization_code", "refresh_token"], ...metadata };
  const response = await oauth.dynamicClientRegistrationRequest(server, asked, { initialAccessToken: initial, ...insecure });
  return oauth.processDynamicClientRegistrationResponse(response);
}

/** A key pair and its public half as a JWK. */
async function pair(alg) {
  const keys = await oauth.generateKeyPair(alg, { extractable: true });
  const { d, p, q, dp, dq, qi, ext, key_ops, ...jwk } = await crypto.subtle.exportKey("jwk", keys.privateKey);
  return { ...keys, jwk: { ...jwk, kid: `${alg}-1`, alg, use: "sig" } };
}

/** fetch with a client certificate. */
function mutual(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const options = { method, headers: Object.fromEntries(new Headers(headers)), cert: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(ca) };
    const request = https.request(url, options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve(new Response(answer.statusCode === 204 ? null : Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })));
    });
    request.on("error", reject);
    request.end(body && String(body));
  });
}

await test("oauth4webapi: registers, reads, changes and removes itself", async () => {
  const made = await register({ client_name: "Partner", scope: "openid email" });
  assert.ok(made.client_secret && made.registration_access_token);
  assert.equal(made.scope, "openid email");
  const manage = (method, body) => fetch(made.registration_client_uri, {
    method, body: body && JSON.stringify(body),
    headers: { authorization: `Bearer ${made.registration_access_token}`, "content-type": "application/json" },
  });
  assert.equal((await (await manage("GET")).json()).client_name, "Partner");
  const changed = await manage("PUT", { client_id: made.client_id, client_name: "Other", redirect_uris: [callback] });
  assert.equal((await changed.json()).client_name, "Other");
  assert.equal((await manage("DELETE")).status, 204);
  assert.equal((await manage("GET")).status, 401);
  await assert.rejects(oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(server, { redirect_uris: [callback] }, { initialAccessToken: "nothing", ...insecure })));
});

for (const alg of ["ES256", "RS256", "PS256", "Ed25519"]) {
  await test(`oauth4webapi: private_key_jwt with ${alg}`, async () => {
    const keys = await pair(alg);
    const client = await register({
      token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [keys.jwk] }, grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
    });
    const ask = async (privateKey) => oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(
      server, client, oauth.PrivateKeyJwt({ key: privateKey, kid: keys.jwk.kid }), new URLSearchParams(), insecure));
    assert.ok((await ask(keys.privateKey)).access_token);
    await assert.rejects(ask((await pair(alg)).privateKey), /error/i);
  });
}

await test("openid-client 6: pushed request, DPoP from end to end, public client", async () => {
  const made = await register({ token_endpoint_auth_method: "none", dpop_bound_access_tokens: true, require_pushed_authorization_requests: true });
  const config = await client6.discovery(new URL(issuer), made.client_id, undefined, client6.None(), { execute });
  const DPoP = client6.getDPoPHandle(config, await client6.randomDPoPKeyPair("ES256"));
  const verifier = client6.randomPKCECodeVerifier();
  const asked = {
    redirect_uri: callback, scope: "openid email", state: "s",
    code_challenge: await client6.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  const direct = new URL(await new Browser().authorize(client6.buildAuthorizationUrl(config, asked).href, callback, who));
  assert.equal(direct.searchParams.get("error"), "invalid_request");
  const url = await client6.buildAuthorizationUrlWithPAR(config, asked, { DPoP });
  assert.deepEqual([...url.searchParams.keys()].sort(), ["client_id", "request_uri"]);
  const answer = new URL(await new Browser().authorize(url.href, callback, who));
  const tokens = await client6.authorizationCodeGrant(config, answer, { pkceCodeVerifier: verifier, expectedState: "s" }, undefined, { DPoP });
  assert.equal(tokens.token_type.toLowerCase(), "dpop");
  const info = await client6.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
  assert.equal(info.email, email);
  const plain = await fetch(server.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  assert.equal(plain.status, 401);
  // Without its proof it opens nothing, whatever the face.
  for (const path of ["/heliograph/v1/me", "/heliograph/v1/things", "/prd/v1/things", "/api/devices", "/v1/api/users", "/v1/devices", "/v1/tenants/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01"]) {
    for (const scheme of ["Bearer", "DPoP"]) {
      const status = (await fetch(base + path, { headers: { authorization: `${scheme} ${tokens.access_token}` } })).status;
      assert.ok(status === 401 || status === 404, `${path}: ${status}`);
    }
  }
  const stolen = client6.getDPoPHandle(config, await client6.randomDPoPKeyPair("ES256"));
  await assert.rejects(client6.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP: stolen }));
  await assert.rejects(client6.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: stolen }), /invalid_grant|error/i);
  const next = await client6.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  assert.equal((await client6.fetchUserInfo(config, next.access_token, tokens.claims().sub, { DPoP })).email, email);
  // What was answered once is not answered again.
  const again = await new Browser().fetch(url);
  assert.equal(again.status, 400);
});

await test("oauth4webapi: DPoP with every kind of key, a clock that is wrong, a nonce", async () => {
  const made = await register({ grant_types: ["client_credentials"], redirect_uris: [], response_types: [] });
  for (const alg of ["ES256", "RS256", "PS256", "Ed25519"]) {
    const auth = oauth.ClientSecretBasic(made.client_secret);
    const keys = await oauth.generateKeyPair(alg);
    const asker = (client) => {
      const DPoP = oauth.DPoP(client, keys);
      return async () => oauth.processClientCredentialsResponse(
        server, client, await oauth.clientCredentialsGrantRequest(server, client, auth, new URLSearchParams(), { DPoP, ...insecure }));
    };
    assert.equal((await asker(made)()).token_type, "dpop");
    const late = asker({ ...made, [oauth.clockSkew]: -86_400 });
    await assert.rejects(late(), (error) => oauth.isDPoPNonceError(error));
    // The library kept the nonce; the next proof is taken, whatever its iat says.
    assert.ok((await late()).access_token);
  }
});

await test("openid-client 6: mutual TLS, certificate-bound tokens", async () => {
  const der = readFileSync(certificate, "utf8").replace(/-----[^-]+-----|\s/g, "");
  const { kty, crv, x, y } = (await import("node:crypto")).createPublicKey(readFileSync(certificate)).export({ format: "jwk" });
  const made = await register({
    token_endpoint_auth_method: "self_signed_tls_client_auth", tls_client_certificate_bound_access_tokens: true,
    jwks: { keys: [{ kty, crv, x, y, x5c: [der] }] },
  });
  assert.ok(server.mtls_endpoint_aliases.token_endpoint.startsWith("https://"));
  const config = await client6.discovery(new URL(issuer), made.client_id, { use_mtls_endpoint_aliases: true }, client6.TlsClientAuth(), { execute });
  config[client6.customFetch] = mutual;
  const verifier = client6.randomPKCECodeVerifier();
  const url = client6.buildAuthorizationUrl(config, {
    redirect_uri: callback, scope: "openid email", state: "s",
    code_challenge: await client6.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  const answer = new URL(await new Browser().authorize(url.href, callback, who));
  const tokens = await client6.authorizationCodeGrant(config, answer, { pkceCodeVerifier: verifier, expectedState: "s" });
  assert.equal((await client6.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)).email, email);
  const claims = JSON.parse(Buffer.from(tokens.access_token.split(".")[1], "base64url"));
  assert.ok(claims.cnf["x5t#S256"]);
  // Over plain HTTP nobody shows a certificate.
  const stolen = await fetch(server.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  assert.equal(stolen.status, 401);
  const found = await client6.tokenIntrospection(config, tokens.access_token);
  assert.equal(found.active, true);
  config[client6.customFetch] = undefined;
  const bare = await fetch(server.token_endpoint, { method: "POST", body: new URLSearchParams({ grant_type: "refresh_token", client_id: made.client_id, refresh_token: tokens.refresh_token }) });
  assert.equal(bare.status, 401);
});

await test("openid-client 6: token exchange", async () => {
  const app = await register({ scope: "openid email thing:read" });
  const api = await register({ grant_types: ["urn:ietf:params:oauth:grant-type:token-exchange"], redirect_uris: [], response_types: [], scope: "thing:read" });
  const config = await client6.discovery(new URL(issuer), app.client_id, undefined, client6.ClientSecretBasic(app.client_secret), { execute });
  const answer = new URL(await new Browser().authorize(client6.buildAuthorizationUrl(config, { redirect_uri: callback, scope: "openid thing:read" }).href, callback, who));
  const tokens = await client6.authorizationCodeGrant(config, answer);
  const other = await client6.discovery(new URL(issuer), api.client_id, undefined, client6.ClientSecretBasic(api.client_secret), { execute });
  const kind = (name) => `urn:ietf:params:oauth:token-type:${name}`;
  for (const [token, type] of [[tokens.access_token, "access_token"], [tokens.id_token, "id_token"]]) {
    const out = await client6.genericGrantRequest(other, "urn:ietf:params:oauth:grant-type:token-exchange", { subject_token: token, subject_token_type: kind(type) });
    assert.equal(out.issued_token_type, kind("access_token"));
    assert.equal(out.scope, "thing:read");
  }
});

console.log(`${passed} passed`);
