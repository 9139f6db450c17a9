// The page that the mails link to, clicked by keyboard in headless Chromium.
//
//   node page.mjs CHROMIUM ACTIVATION-LINK RESET-LINK NEW-PASSWORD
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The driver is installed with the OpenID clients.
const { chromium } = createRequire(new URL("../openid/package.json", import.meta.url))("playwright-core");
const [executablePath, activation, reset, password] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const problems = [];
  page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  const outcome = (text) => page.getByRole("status").filter({ hasText: text }).waitFor({ timeout: 20000 });

  await page.goto(activation);
  await page.getByRole("button", { name: "Activate my account" }).press("Enter");
  await outcome("Your account is active");
  assert.equal(new URL(page.url()).hash, "", "the token is not left in the address bar");
  assert.deepEqual(problems, []);

  await page.goto("about:blank");
  await page.goto(reset);
  await page.getByLabel("New password").fill("aaaaaaaa");
  await page.keyboard.press("Enter");
  await outcome("Password too Weak");
  await page.getByLabel("New password").fill(password);
  await page.keyboard.press("Enter");
  await outcome("Your password is set");

  await page.goto("about:blank");
  await page.goto(activation);
  await page.getByRole("button", { name: "Activate my account" }).click();
  await outcome("used already");
  console.log("ok page");
} finally {
  await browser.close();
}
