// The API pages: choose a document, find an operation, read it, try it.
import { about, example, h, inline, prose, resolve, show, typeName } from "/docs/schema.js";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const $ = (id) => document.getElementById(id);
const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
let current = { doc: {}, operations: [] };

/** Everything the page needs of a document, OpenAPI 3 or Swagger 2.0. */
function operations(doc) {
  const list = [];
  for (const [path, item] of Object.entries(doc.paths ?? {})) {
    for (const method of METHODS) {
      const op = item[method];
      if (!op) continue;
      const parameters = [...(item.parameters ?? []), ...(op.parameters ?? [])].map((p) => resolve(doc, p));
      const old = parameters.find((p) => p.in === "body");
      const [type, media] = Object.entries(resolve(doc, op.requestBody).content ?? {})[0] ?? (old ? ["application/json", old] : []);
      const body = type && { type, schema: media.schema ?? {}, example: media.example };
      const open = (op.security ?? doc.security ?? []).every((need) => !Object.keys(need).length);
      list.push({ ...op, path, method, body, open, parameters: parameters.filter((p) => p.in !== "body" && p.in !== "formData"),
        id: op.operationId ?? `${method} ${path}`, tag: op.tags?.[0] ?? "operations", url: base(doc) + path });
    }
  }
  const order = (doc.tags ?? []).map((tag) => tag.name);
  const place = (tag) => (order.includes(tag) ? order.indexOf(tag) : order.length);
  return list.sort((a, b) => place(a.tag) - place(b.tag));
}

/** The path in front of every operation; the host is always this one. */
function base(doc) {
  const server = doc.servers?.[0]?.url ?? doc.basePath ?? "";
  try { return new URL(server || "/", location.origin).pathname.replace(/\/$/, ""); } catch { return ""; }
}

function parameterRow(doc, parameter) {
  const schema = resolve(doc, parameter.schema ?? parameter);
  const label = `${parameter.name} (${parameter.in})`;
  const preset = parameter.in === "path" ? parameter.example ?? schema.example ?? "" : "";
  const choices = schema.enum ?? (schema.type?.includes?.("boolean") ? [true, false] : undefined);
  const input = choices
    ? h("select", { "aria-label": label }, h("option", { value: "" }, "—"), choices.map((value) => h("option", { value }, String(value))))
    : h("input", { "aria-label": label, value: preset, spellcheck: false, placeholder: schema.default ?? "" });
  const row = h("tr", {}, h("th", { scope: "row" }, h("code", {}, parameter.name), parameter.required ? h("span", { className: "must" }, " required") : "",
    h("div", { className: "soft" }, parameter.in)), h("td", {}, h("span", { className: "type" }, typeName(doc, schema)), about(doc, schema, parameter.description)),
    h("td", {}, input));
  return { row, input, parameter };
}

function responses(doc, op) {
  return Object.entries(op.responses ?? {}).map(([status, node]) => {
    const answer = resolve(doc, node);
    const schema = Object.values(answer.content ?? {})[0]?.schema ?? answer.schema;
    return h("details", {}, h("summary", {}, h("code", {}, status), " ", inline(answer.description)),
      schema && show(doc, schema), schema && h("pre", { tabIndex: 0 }, pretty(example(doc, schema))));
  });
}

/** The request as it is filled in. */
function request(op, fields, body) {
  let path = op.url;
  const query = new URLSearchParams();
  const headers = {};
  for (const { input, parameter } of fields) {
    if (input.value === "") continue;
    if (parameter.in === "path") path = path.replaceAll(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (parameter.in === "query") query.append(parameter.name, input.value);
    if (parameter.in === "header" && parameter.name.toLowerCase() !== "authorization") headers[parameter.name] = input.value;
  }
  if (String(query)) path += `?${query}`;
  const text = body?.value.trim() ? body.value : undefined;
  if (text !== undefined) headers["Content-Type"] = op.body.type;
  return { path, headers, body: text };
}

function credential() {
  const secret = $("secret").value.trim();
  if (!secret) return {};
  if ($("scheme").value === "Bearer") return { Authorization: `Bearer ${secret}` };
  const bytes = new TextEncoder().encode(secret);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
function curl(op, { path, headers, body }) {
  const parts = [`curl -X ${op.method.toUpperCase()} ${quote(location.origin + path)}`];
  if (!op.open) parts.push(`-H "Authorization: Bearer $TOKEN"`);
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quote(`${name}: ${value}`)}`);
  if (body !== undefined) parts.push(`--data ${quote(body)}`);
  return parts.join(" \\\n  ");
}

/** Sends the request and shows the answer as it comes; an endless one until it is stopped. */
async function send(op, wanted, out, stop) {
  const began = performance.now();
  out.replaceChildren(h("p", {}, "Sending …"));
  let answer;
  try {
    answer = await fetch(wanted.path, { method: op.method.toUpperCase(), headers: { ...credential(), ...wanted.headers }, body: wanted.body,
      credentials: "omit", signal: stop.signal });
  } catch (error) {
    return out.replaceChildren(h("p", { className: "status bad" }, stop.signal.aborted ? "Stopped." : `No answer: ${error.message}`));
  }
  const head = h("p", {}, h("span", { className: `status ${answer.ok ? "good" : "bad"}` }, `${answer.status} ${answer.statusText}`),
    h("span", { className: "soft" }, ` ${Math.round(performance.now() - began)} ms`));
  const headers = h("details", {}, h("summary", {}, "Headers"), h("pre", {}, [...answer.headers].map((pair) => pair.join(": ")).join("\n")));
  const box = h("pre", { tabIndex: 0 });
  out.replaceChildren(head, headers, box);
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let part; reader && !(part = await reader.read()).done;) {
      text = (text + decoder.decode(part.value, { stream: true })).slice(-200000);
      box.textContent = text;
    }
  } catch { head.append(" — stopped"); }
  if (/json/.test(answer.headers.get("content-type") ?? "")) {
    try { box.textContent = pretty(JSON.parse(text)); } catch { /* shown as it came */ }
    keepToken(text);
  }
  if (!text) box.remove();
}

/** A token that was just issued is at once the one to try with. */
function keepToken(text) {
  let token;
  try { const answer = JSON.parse(text); token = answer.access_token ?? answer.accessToken; } catch { return; }
  if (typeof token !== "string") return;
  $("scheme").value = "Bearer";
  $("secret").value = token;
  remember();
}

function tryIt(doc, op, fields) {
  const preset = op.body && pretty(op.body.example ?? example(doc, op.body.schema));
  const body = op.body && h("textarea", { "aria-label": "Request body", value: preset, spellcheck: false, rows: Math.min(24, preset.split("\n").length + 1) });
  const out = h("div", { "aria-live": "polite" });
  const command = h("pre", { tabIndex: 0 });
  const go = h("button", { type: "submit", className: "go" }, "Send");
  const halt = h("button", { type: "button", disabled: true }, "Stop");
  let stop;
  halt.onclick = () => stop?.abort();
  const form = h("form", {}, body && [h("h3", {}, `Body — ${op.body.type}`), body], h("div", { className: "bar" }, go, halt),
    out, h("details", {}, h("summary", {}, "As a command"), command));
  const refresh = () => { command.textContent = curl(op, request(op, fields, body)); };
  form.oninput = refresh;
  fields.forEach(({ input }) => input.addEventListener("input", refresh));
  refresh();
  form.onsubmit = async (event) => {
    event.preventDefault();
    const missing = fields.find(({ input, parameter }) => parameter.in === "path" && !input.value);
    if (missing) return missing.input.focus();
    stop = new AbortController();
    [go.disabled, halt.disabled] = [true, false];
    await send(op, request(op, fields, body), out, stop);
    [go.disabled, halt.disabled] = [false, true];
  };
  return form;
}

/** One operation; its inside is made when it is opened first. */
function section(doc, op) {
  const details = h("details", { className: "op", id: anchor(op) }, h("summary", {}, h("span", { className: `method ${op.method}` }, op.method.toUpperCase()),
    h("span", { className: "path" }, op.url), h("span", {}, op.summary ?? ""), op.open ? h("span", { className: "lock" }, "no token needed") : ""));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const fields = op.parameters.map((parameter) => parameterRow(doc, parameter));
    details.append(h("div", {}, prose(op.description), fields.length && [h("h3", {}, "Parameters"),
      h("div", { className: "scroll" }, h("table", {}, h("tbody", {}, fields.map(({ row }) => row))))] || undefined,
      op.body && [h("h3", {}, "Members of the body"), show(doc, op.body.schema)],
      h("h3", {}, "Answers"), responses(doc, op), h("h3", {}, "Try it"), tryIt(doc, op, fields)));
  });
  return details;
}

const anchor = (op) => "op-" + op.id.replace(/[^A-Za-z0-9_-]+/g, "-");

function render(doc, title) {
  current = { doc, operations: operations(doc) };
  document.title = `${title} API · Heliograph`;
  const tags = [...new Set(current.operations.map((op) => op.tag))];
  const told = (tag) => prose(doc.tags?.find((one) => one.name === tag)?.description);
  const heading = (tag) => tag.charAt(0).toUpperCase() + tag.slice(1);
  const link = (op) => h("li", {}, h("a", { href: `#${anchor(op)}` }, op.summary || `${op.method.toUpperCase()} ${op.path}`));
  $("index").replaceChildren(...tags.map((tag) => h("section", { "data-tag": tag }, h("h2", {}, heading(tag)),
    h("ul", {}, current.operations.filter((op) => op.tag === tag).map(link)))));
  $("content").replaceChildren(h("h1", {}, `${doc.info?.title ?? title} ${doc.info?.version ?? ""}`), ...prose(doc.info?.description),
    h("p", { className: "soft" }, h("a", { href: $("api").value }, "The document"), " · ", h("a", { href: "/docs/problems" }, "Problems")),
    ...tags.map((tag) => h("section", { "data-tag": tag }, h("h2", {}, heading(tag)), told(tag),
      current.operations.filter((op) => op.tag === tag).map((op) => section(doc, op)))));
  filter();
  jump();
}

/** Shows only operations that hold every word of the filter. */
function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const op of current.operations) {
    const text = `${op.method} ${op.path} ${op.summary ?? ""} ${op.id} ${op.tag}`.toLowerCase();
    const hidden = !words.every((word) => text.includes(word));
    $(anchor(op)).hidden = hidden;
    document.querySelector(`nav a[href="#${anchor(op)}"]`).parentElement.hidden = hidden;
  }
  for (const part of document.querySelectorAll("[data-tag]")) part.hidden = !part.querySelector("li:not([hidden]), details.op:not([hidden])");
}

function jump() {
  const target = $(decodeURIComponent(location.hash.slice(1)));
  document.querySelectorAll("nav a[aria-current]").forEach((a) => a.removeAttribute("aria-current"));
  if (!target?.matches?.("details.op")) return;
  target.open = true;
  document.querySelector(`nav a[href="#${target.id}"]`)?.setAttribute("aria-current", "true");
  target.scrollIntoView();
}

/** The credential lives as long as the tab. */
function remember() {
  sessionStorage.setItem("credential", JSON.stringify([$("scheme").value, $("secret").value]));
}

async function load() {
  const option = $("api").selectedOptions[0];
  try {
    const answer = await fetch(option.value);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    render(await answer.json(), option.textContent);
    history.replaceState(null, "", `?api=${encodeURIComponent(option.textContent)}${location.hash}`);
  } catch (error) {
    $("content").replaceChildren(h("p", { role: "alert" }, `The document could not be read: ${error.message}`));
  }
}

async function start() {
  const apis = await (await fetch("/docs/apis.json")).json();
  const wanted = new URLSearchParams(location.search).get("api");
  $("api").append(...apis.map((api) => h("option", { value: api.path, selected: api.title === wanted }, api.title)));
  const [scheme, secret] = JSON.parse(sessionStorage.getItem("credential") ?? "[]");
  if (scheme) [$("scheme").value, $("secret").value] = [scheme, secret];
  $("api").onchange = () => { location.hash = ""; load(); };
  $("filter").oninput = filter;
  $("credential").oninput = remember;
  $("credential").onsubmit = (event) => event.preventDefault();
  addEventListener("hashchange", jump);
  await load();
}

start().catch((error) => $("content").replaceChildren(h("p", { role: "alert" }, `This page could not start: ${error.message}`)));
