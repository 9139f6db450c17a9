// A page behind Apache's mod_auth_openidc, in Chromium: node apache.mjs CHROMIUM SITE EMAIL PASSWORD
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { App } from "./otp.mjs";

const [executablePath, site, email, password] = process.argv.slice(2);
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
let passed = 0;
let app;

async function test(name, run) {
  const context = await browser.newContext();
  context.setDefaultTimeout(60_000);
  await run(await context.newPage());
  await context.close();
  passed += 1;
  console.log(`ok ${name}`);
}

async function password_of(page) {
  await page.goto(`${site}/`);
  await page.getByLabel("E-mail address or user name").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
}

async function inside(page) {
  await page.getByText("Behind the door").waitFor();
  const headers = (await page.request.get(`${site}/`)).headers();
  assert.deepEqual([headers["x-user"], headers["x-acr"], headers["x-amr"]], [email, "2", "pwd,otp"]);
}

await test("Apache demands acr 2: who has no second factor sets one up on the way in", async (page) => {
  await password_of(page);
  await page.getByRole("heading", { name: "Set up a second factor" }).waitFor();
  app = new App(await page.locator(".secret code").innerText());
  await page.getByLabel("Code", { exact: true }).fill(await app.code());
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "I have kept them" }).click();
  await page.getByRole("button", { name: "Allow" }).click();
  await inside(page);
});

await test("password and code, and out again at both", async (page) => {
  await password_of(page);
  await page.getByLabel("Code", { exact: true }).fill(await app.code());
  await page.keyboard.press("Enter");
  await inside(page);
  await page.goto(`${site}/cb?logout=${encodeURIComponent(`${site}/bye`)}`);
  await page.getByText("Outside").waitFor();
  await page.goto(`${site}/`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

await browser.close();
console.log(`${passed} passed`);
