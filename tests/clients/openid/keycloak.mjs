// keycloak-js, unmodified, in Chromium at the realm: node keycloak.mjs CHROMIUM BASE EMAIL PASSWORD PORT
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { App } from "./otp.mjs";

const [executablePath, base, email, password, port] = process.argv.slice(2);
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
const library = await readFile(createRequire(import.meta.url).resolve("keycloak-js"));
const silent = "<!doctype html><script>parent.postMessage(location.href, location.origin)</script>";
const page = `<!doctype html><title>app</title><script type="module">
import Keycloak from "/keycloak.js";
window.kc = new Keycloak({ url: ${JSON.stringify(`${base}/v1/id/auth`)}, realm: "olt", clientId: "keycloak" });
const options = JSON.parse(sessionStorage.options ?? "null");
if (options) kc.init({ scope: "email profile", ...options }).then((yes) => { document.title = yes ? "signed in" : "nobody"; }, (error) => { document.title = "failed: " + JSON.stringify(error) + error; });
</script>`;
const server = createServer((request, response) => {
  const js = request.url.startsWith("/keycloak.js");
  response.setHeader("content-type", js ? "text/javascript" : "text/html");
  response.end(js ? library : request.url.startsWith("/silent") ? silent : page);
});
await new Promise((done) => server.listen(Number(port), done));
const near = `http://127.0.0.1:${port}`;
const far = `http://localhost:${port}`;
let passed = 0;
let app;

async function test(name, run) {
  const context = await browser.newContext();
  context.setDefaultTimeout(60_000);
  await run(await context.newPage(), context);
  await context.close();
  passed += 1;
  console.log(`ok ${name}`);
}

/** Opens the application with these options. */
async function open(page, origin, options) {
  await page.goto(`${origin}/cb`);
  await page.evaluate((options) => { sessionStorage.options = JSON.stringify(options); }, options);
  await page.goto(`${origin}/cb`);
}

const title = (page, text) => page.waitForFunction((text) => document.title === text || document.title.startsWith("failed") && document.title, text).then(async () => assert.equal(await page.title(), text));

async function signIn(page) {
  await page.getByLabel("E-mail address or user name").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByLabel("Code", { exact: true }).fill(await app.code());
  await page.keyboard.press("Enter");
}

await test("a second factor is set up", async (page) => {
  await page.goto(`${base}/console/second-factor`);
  await page.getByLabel("E-mail address or user name").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  app = new App(await page.locator(".secret code").innerText());
  await page.getByLabel("Code", { exact: true }).fill(await app.code());
  await page.getByLabel("Your password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Keep these recovery codes" }).waitFor();
});

await test("login-required with the login iframe: password, code, consent; tokens, refresh, and a sign-out elsewhere is noticed", async (page, context) => {
  await open(page, near, { onLoad: "login-required", checkLoginIframe: true, checkLoginIframeInterval: 1 });
  await signIn(page);
  await page.getByRole("button", { name: "Allow" }).click();
  await title(page, "signed in");
  const seen = await page.evaluate(async () => {
    const old = kc.token;
    const refreshed = await kc.updateToken(-1);
    const info = await kc.loadUserInfo();
    return { refreshed, changed: old !== kc.token, acr: kc.tokenParsed.acr, amr: kc.idTokenParsed.amr, info, frames: [...document.querySelectorAll("iframe")].map((f) => f.title) };
  });
  assert.deepEqual([seen.refreshed, seen.changed, seen.acr, seen.amr], [true, true, "2", ["pwd", "otp"]]);
  assert.equal(seen.info.email, email);
  assert.equal(seen.info.twoFactorAuthEnabled, true);
  assert.deepEqual(seen.frames, ["keycloak-session-iframe"]);
  // It goes on for a while, and ends when the browser signs out elsewhere.
  await new Promise((done) => setTimeout(done, 3_000));
  assert.equal(await page.title(), "signed in");
  const other = await context.newPage();
  await other.goto(`${base}/console/sessions`);
  await other.getByRole("button", { name: "Sign out here" }).click();
  await other.getByRole("heading", { name: "Signed out" }).waitFor();
  // Who must be signed in is sent to sign in again.
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

await test("check-sso in silence, and logout", async (page) => {
  await open(page, near, { onLoad: "check-sso", silentCheckSsoRedirectUri: `${near}/silent` });
  await title(page, "nobody");
  await page.evaluate(() => { kc.login(); });
  await signIn(page);
  await title(page, "signed in");
  const addresses = [];
  page.on("framenavigated", (frame) => frame === page.mainFrame() && addresses.push(frame.url()));
  await page.goto(`${near}/cb`);
  await title(page, "signed in");
  assert.deepEqual([...new Set(addresses)], [`${near}/cb`], "nobody was sent away");
  await page.evaluate((to) => { kc.logout({ redirectUri: to }); }, `${near}/cb`);
  await title(page, "nobody");
});

await test("from another site, where the browser keeps our cookies out of frames", async (page) => {
  const warned = page.waitForEvent("console", (message) => message.text().includes("3rd-party cookies"));
  await open(page, far, { onLoad: "login-required", checkLoginIframe: true, enableLogging: true });
  await signIn(page);
  await title(page, "signed in");
  await warned;
  assert.equal(await page.evaluate(() => document.querySelectorAll("iframe").length), 0);
});

await test("without the login iframe", async (page) => {
  await open(page, near, { onLoad: "login-required", checkLoginIframe: false });
  await signIn(page);
  await title(page, "signed in");
});

await test("a page that is none of the application's is told nothing", async (page) => {
  // Even a page of the gateway's own may ask for no other's sake.
  await page.goto(`${base}/v1/id/auth/realms/olt/protocol/openid-connect/login-status-iframe.html`);
  const ask = (origin, session = "") => page.evaluate(async ([base, origin, session]) => (await fetch(`${base}/v1/id/auth/realms/olt/protocol/openid-connect/login-status-iframe.html/state?${new URLSearchParams({ client_id: "keycloak", origin, session_state: session })}`)).status, [base, origin, session]);
  assert.deepEqual([await ask(near), await ask("https://evil.example"), await ask("")], [200, 403, 403]);
});

await browser.close();
server.close();
console.log(`${passed} passed`);
