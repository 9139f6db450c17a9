// A person at the pages, by keyboard: node pages.mjs CHROMIUM BASE EMAIL PASSWORD SCREENSHOT-FOLDER
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [executablePath, base, email, password, shots] = process.argv.slice(2);
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
const callback = "http://127.0.0.1:9999/cb";
const server = createServer((_, response) => response.end("arrived"));
// The registered callback may come with any port (RFC 8252 7.3).
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const arrived = callback.replace("9999", server.address().port);
let passed = 0;

async function test(name, options, run) {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && problems.push(message.text()));
  await run(page);
  assert.deepEqual(problems, []);
  await context.close();
  passed += 1;
  console.log(`ok ${name}`);
}

const ask = `${base}/oauth2/authorize?${new URLSearchParams({ client_id: "backend", redirect_uri: arrived, response_type: "code", scope: "openid email profile", state: "s" })}`;

/** The page puts the cursor where a person would; on a busy machine that takes a moment. */
const cursorAt = (page, id) => page.waitForFunction((id) => document.activeElement?.id === id, id);

async function signIn(page) {
  await cursorAt(page, "email");
  await page.keyboard.type(email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
}

await test("sign in and consent by keyboard, and be asked once only", {}, async (page) => {
  await page.goto(ask);
  await page.screenshot({ path: `${shots}/login.png` });
  await cursorAt(page, "email");
  await page.keyboard.type(email);
  await page.keyboard.press("Tab");
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await page.screenshot({ path: `${shots}/login-wrong.png` });
  await cursorAt(page, "password");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /Allow/ }).waitFor();
  await page.screenshot({ path: `${shots}/consent.png` });
  await page.getByRole("button", { name: "Allow" }).press("Enter");
  await page.waitForURL((url) => url.href.startsWith(arrived));
  assert.match(page.url(), /code=.*state=s.*iss=/);
  await page.goto(ask);
  await page.waitForURL((url) => url.href.startsWith(arrived));
});

await test("form_post sends itself; sessions are listed and ended", { colorScheme: "dark" }, async (page) => {
  await page.goto(`${ask}&response_mode=form_post`);
  await signIn(page);
  await page.waitForURL((url) => url.href === arrived);
  await page.goto(`${base}/console/sessions`);
  await page.getByText("this browser").waitFor();
  await page.screenshot({ path: `${shots}/sessions.png` });
  await page.getByRole("button", { name: "Sign out here" }).click();
  await page.getByRole("heading", { name: "Signed out" }).waitFor();
  await page.goto(`${base}/console/sessions`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

await test("narrow window, without JavaScript", { viewport: { width: 320, height: 640 }, javaScriptEnabled: false }, async (page) => {
  await page.goto(`${ask}&response_mode=form_post&prompt=consent`);
  await page.screenshot({ path: `${shots}/login-narrow.png` });
  await page.getByLabel("E-mail address or user name").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.screenshot({ path: `${shots}/consent-narrow.png` });
  await page.getByRole("button", { name: "Allow" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((url) => url.href === arrived);
});

await browser.close();
server.close();
console.log(`${passed} passed`);
