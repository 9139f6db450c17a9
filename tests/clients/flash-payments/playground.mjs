// The seed's four steps, clicked: node playground.mjs CHROMIUM BASE EMAIL PASSWORD SCREENSHOT-FOLDER
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [executablePath, base, email, password, shots] = process.argv.slice(2);
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: quiet });
const context = await browser.newContext({ viewport: { width: 1200, height: 720 } });
context.setDefaultTimeout(60_000);
const page = await context.newPage();
const foreign = [];
page.on("request", (request) => request.url().startsWith(base) || foreign.push(request.url()));
const answer = async () => {
  await page.waitForFunction(() => /^\d/.test(document.getElementById("status").textContent));
  return JSON.parse(await page.locator("#result").textContent());
};

// 1. "go to the API Playground, click DOCS on the right to explore the possibilities"
await page.goto(base);
await page.getByRole("button", { name: "DOCS" }).click();
await page.getByText("LoginInput").first().waitFor();
const docs = await page.locator("#docs").boundingBox();
assert.ok(docs.x > 600, "DOCS open on the right");
// 2. "Find there the login mutation. Execute it to obtain your access token."
const query = await page.getByLabel("Query").inputValue();
await page.getByLabel("Query").fill(query.replace("YOUR_EMAIL", email).replace("YOUR_PWD", password));
await page.getByRole("button", { name: "Send request" }).click();
const token = (await answer()).data.login.token;
assert.ok(token);
// 3. "Click the HTTP HEADERS on the bottom and add this"
await page.getByRole("tab", { name: "HTTP HEADERS" }).click();
await page.getByLabel("HTTP headers, JSON").fill(JSON.stringify({ authorization: `Bearer ${token}` }));
// 4. "Execute any other queries."
await page.getByLabel("Query").fill("{ me { user { email } tenant { name } } }");
await page.keyboard.press("Control+Enter");
await page.waitForFunction((email) => document.getElementById("result").textContent.includes(email), email);
await page.screenshot({ path: `${shots}/playground.png` });
assert.deepEqual(foreign, []);
await browser.close();
console.log("1 passed");
