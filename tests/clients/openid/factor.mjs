// A person with a second factor at the pages: node factor.mjs CHROMIUM BASE EMAIL PASSWORD API-KEY READER READER-PASSWORD SCREENSHOT-FOLDER
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { chromium } from "playwright-core";
import { App } from "./otp.mjs";

const [executablePath, base, email, password, key, reader, readerPassword, shots] = process.argv.slice(2);
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
const server = createServer((_, response) => response.end("arrived"));
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const arrived = `http://127.0.0.1:${server.address().port}/cb`;
const ask = (more = {}) => `${base}/oauth2/authorize?${new URLSearchParams({ client_id: "backend", redirect_uri: arrived, response_type: "code", scope: "openid email profile", state: "s", ...more })}`;
let passed = 0;
let app, codes;

async function test(name, options, run) {
  const context = await browser.newContext({ viewport: { width: 900, height: 760 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && !/\b(401|429|400|403|404)\b/.test(message.text()) && problems.push(message.text()));
  await run(page);
  assert.deepEqual(problems, []);
  await context.close();
  passed += 1;
  console.log(`ok ${name}`);
}

const cursorAt = (page, id) => page.waitForFunction((id) => document.activeElement?.id === id, id);
const shot = (page, name) => page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });

async function signIn(page, who = email, secret = password) {
  await page.getByLabel("E-mail address or user name").fill(who);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function exchange(url) {
  const reply = await fetch(`${base}/oauth2/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from("backend:s3cr3t-of-the-backend").toString("base64")}` },
    body: new URLSearchParams({ grant_type: "authorization_code", code: new URL(url).searchParams.get("code"), redirect_uri: arrived }),
  });
  const tokens = await reply.json();
  assert.equal(reply.status, 200, JSON.stringify(tokens));
  return { ...tokens, claims: JSON.parse(Buffer.from(tokens.id_token.split(".")[1], "base64url")) };
}

const userinfo = async (tokens) => (await fetch(`${base}/oauth2/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } })).json();

await test("set up by keyboard, codes kept", {}, async (page) => {
  await page.goto(`${base}/console/sessions`);
  await signIn(page);
  await page.getByRole("heading", { name: "Your sessions" }).waitFor();
  await shot(page, "sessions-without");
  await page.getByRole("link", { name: "set up a second factor" }).press("Enter");
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  await shot(page, "enrolment");
  const secret = await page.locator(".secret code").innerText();
  assert.match(secret.replace(/\s/g, ""), /^[A-Z2-7]{32}$/);
  app = new App(secret);
  await page.getByLabel("Code", { exact: true }).fill("000000");
  await page.getByLabel("Your password").fill(password);
  await page.getByRole("button", { name: "Set up" }).press("Enter");
  await page.getByRole("alert").waitFor();
  assert.equal(await page.locator(".secret code").innerText(), secret, "the same secret after a wrong code");
  await cursorAt(page, "code");
  await page.keyboard.type(await app.code());
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Keep these recovery codes" }).waitFor();
  await shot(page, "recovery-codes");
  codes = await page.locator(".codes code").allInnerTexts();
  assert.equal(codes.length, 10);
  await page.getByRole("link", { name: "I have kept them" }).press("Enter");
  await page.getByText("You have 10 recovery codes left.").waitFor();
  await shot(page, "second-factor");
});

await test("password, code, consent, and what the tokens say", {}, async (page) => {
  await page.goto(ask());
  await signIn(page);
  await page.getByRole("heading", { name: "Enter your code" }).waitFor();
  await cursorAt(page, "code");
  await shot(page, "code");
  // Half signed in is not signed in.
  const other = await page.context().newPage();
  await other.goto(`${base}/console/sessions`);
  await other.getByRole("heading", { name: "Sign in" }).waitFor();
  await other.close();
  await page.keyboard.type("000000");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await cursorAt(page, "code");
  await page.keyboard.type(await app.code());
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /Allow/ }).waitFor();
  await shot(page, "consent");
  await page.getByRole("button", { name: "Allow" }).press("Enter");
  await page.waitForURL((url) => url.href.startsWith(arrived));
  const tokens = await exchange(page.url());
  assert.deepEqual(tokens.claims.amr, ["pwd", "otp"]);
  assert.equal(tokens.claims.acr, "2");
  assert.equal((await userinfo(tokens)).twoFactorAuthEnabled, true);
  // A step up is not asked for again; a step back in time is.
  await page.goto(ask({ acr_values: "2" }));
  await page.waitForURL((url) => url.href.startsWith(arrived));
  await page.goto(ask({ prompt: "login" }));
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

await test("a recovery code, narrow and dark, without JavaScript", { viewport: { width: 320, height: 640 }, colorScheme: "dark", javaScriptEnabled: false }, async (page) => {
  await page.goto(ask());
  await signIn(page);
  await shot(page, "code-narrow-dark");
  await page.getByRole("link", { name: /Use a recovery code/ }).click();
  await page.getByLabel("Recovery code").fill(codes[0]);
  await shot(page, "recovery-narrow-dark");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.waitForURL((url) => url.href.startsWith(arrived));
  await page.goto(`${base}/console/second-factor`);
  await page.getByText("You have 9 recovery codes left.").waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth).catch(() => true);
  assert.ok(wide, "nothing sticks out of a narrow window");
});

await test("an application asks for a second factor of who has none; a tenant demands it", { viewport: { width: 320, height: 640 } }, async (page) => {
  await page.goto(ask());
  await signIn(page, reader, readerPassword);
  await page.getByRole("button", { name: "Allow" }).click();
  await page.waitForURL((url) => url.href.startsWith(arrived));
  const before = await exchange(page.url());
  assert.deepEqual([before.claims.acr, before.claims.amr, (await userinfo(before)).twoFactorAuthEnabled], ["1", ["pwd"], false]);
  const silent = new URL((await (await page.context().request.get(ask({ acr_values: "2", prompt: "none" }), { maxRedirects: 0 })).headers()).location);
  assert.equal(silent.searchParams.get("error"), "login_required");
  // The tenant demands it: the browser signed in before is asked again, and led to set it up before anything is given.
  const own = { authorization: `Bearer ${(await (await fetch(`${base}/heliograph/v1/token`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ api_key: key }) })).json()).access_token}`, "content-type": "application/json" };
  const tenant = (await (await fetch(`${base}/heliograph/v1/me`, { headers: own })).json()).tenant;
  const demand = await fetch(`${base}/heliograph/v1/tenants/${tenant.id ?? tenant}/second-factor`, { method: "PUT", headers: own, body: JSON.stringify({ required: true }) });
  assert.equal(demand.status, 200, await demand.text());
  await page.goto(ask());
  await signIn(page, reader, readerPassword);
  await page.getByRole("heading", { name: "Set up a second factor" }).waitFor();
  await shot(page, "enrolment-narrow");
  const readers = new App(await page.locator(".secret code").innerText());
  await page.getByLabel("Code", { exact: true }).fill(await readers.code());
  await page.getByRole("button", { name: "Set up" }).click();
  await page.getByRole("heading", { name: "Keep these recovery codes" }).waitFor();
  await shot(page, "recovery-codes-narrow");
  await page.getByRole("link", { name: "I have kept them" }).click();
  await page.waitForURL((url) => url.href.startsWith(arrived));
  assert.equal((await exchange(page.url())).claims.acr, "2");
  // What was granted by password alone is refreshed no more; passwords alone get no token.
  const refresh = await fetch(`${base}/oauth2/token`, { method: "POST", headers: { authorization: `Basic ${Buffer.from("backend:s3cr3t-of-the-backend").toString("base64")}` }, body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: before.refresh_token }) });
  assert.equal((await refresh.json()).error, "invalid_grant");
  const direct = await fetch(`${base}/heliograph/v1/token`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email: reader, password: readerPassword }) });
  assert.equal(direct.status, 403);
});

await test("another password, new codes, and away with it", { colorScheme: "dark" }, async (page) => {
  await page.goto(`${base}/console/password`);
  await signIn(page);
  await page.getByLabel("Code", { exact: true }).fill(await app.code());
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "Change your password" }).waitFor();
  await shot(page, "password-dark");
  await page.getByLabel("Old password").fill(password);
  await page.getByLabel("New password", { exact: true }).fill("another horse, another battery");
  await page.getByLabel("New password again").fill("another horse, another battery");
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByText("Your password is changed.").waitFor();
  await shot(page, "sessions-dark");
  assert.equal(await page.locator(".sessions li").count(), 1, "other browsers are signed out");
  await page.getByRole("link", { name: "Second factor" }).click();
  await page.getByText("New recovery codes").click();
  const renew = page.locator("form", { hasText: "The old ones end." });
  await renew.getByLabel("Your password").fill("another horse, another battery");
  await renew.getByLabel(/Code of the app/).fill(codes[1]);
  await renew.getByRole("button").click();
  await page.getByRole("heading", { name: "Keep these recovery codes" }).waitFor();
  const fresh = await page.locator(".codes code").allInnerTexts();
  await page.getByRole("link", { name: "I have kept them" }).click();
  await page.getByText("Remove the second factor").click();
  await shot(page, "second-factor-dark");
  const remove = page.locator("form", { hasText: "You must have one" });
  await remove.getByLabel("Your password").fill("another horse, another battery");
  await remove.getByLabel(/Code of the app/).fill(codes[2]);
  await remove.getByRole("button").click();
  await page.getByRole("alert").waitFor();
  await page.getByText("Remove the second factor").click();
  await remove.getByLabel("Your password").fill("another horse, another battery");
  await remove.getByLabel(/Code of the app/).fill(fresh[0]);
  await remove.getByRole("button").click();
  await page.getByRole("link", { name: "set up a second factor" }).waitFor();
});

await browser.close();
server.close();
console.log(`${passed} passed`);
