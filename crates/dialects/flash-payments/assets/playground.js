// Sends what stands in the editor, shows what comes back, and draws the documentation from the schema itself.
const $ = (id) => document.getElementById(id);
const endpoint = location.origin + "/graphql";
$("endpoint").textContent = "POST " + endpoint;
$("query").value = `mutation {
  login(input: {email: "YOUR_EMAIL" password: "YOUR_PWD"}) {
    token
    message
    code
    success
  }
}`;

async function ask(body, headers) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

function object(id, name) {
  const text = $(id).value.trim() || "{}";
  const value = JSON.parse(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`${name} must be a JSON object`);
  return value;
}

async function send() {
  $("status").textContent = "…";
  try {
    const began = performance.now();
    const answer = await ask({ query: $("query").value, variables: object("variables", "VARIABLES") }, object("headers", "HTTP HEADERS"));
    $("status").textContent = `${answer.status}, ${Math.round(performance.now() - began)} ms`;
    $("result").textContent = JSON.stringify(answer.body, null, 2);
  } catch (error) {
    $("status").textContent = "not sent";
    $("result").textContent = error.message;
  }
}

$("send").addEventListener("click", send);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
});

const tabs = ["variables", "headers"];
for (const name of tabs) {
  $(`tab-${name}`).addEventListener("click", () => {
    for (const other of tabs) {
      $(`tab-${other}`).setAttribute("aria-selected", String(other === name));
      $(`panel-${other}`).hidden = other !== name;
    }
  });
}

const TYPE = "kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
const SCHEMA = `{ __schema { queryType { name } mutationType { name } subscriptionType { name }
  types { kind name description enumValues { name description }
    inputFields { name description type { ${TYPE} } }
    fields { name description type { ${TYPE} } args { name type { ${TYPE} } } } } } }`;

const named = (type) => (type.ofType ? named(type.ofType) : type.name);
const written = (type) => (type.kind === "NON_NULL" ? `${written(type.ofType)}!` : type.kind === "LIST" ? `[${written(type.ofType)}]` : type.name);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function typeLink(type) {
  return element("a", written(type), { href: `#type-${named(type)}` });
}

function section(type, title) {
  const part = document.createDocumentFragment();
  part.append(element("h3", title ?? type.name, { id: `type-${type.name}` }));
  if (type.description) part.append(element("p", type.description));
  const list = element("dl");
  for (const field of type.fields ?? type.inputFields ?? []) {
    const term = element("dt", field.name);
    if (field.args?.length) {
      term.append("(");
      field.args.forEach((arg, n) => term.append(n ? ", " : "", `${arg.name}: `, typeLink(arg.type)));
      term.append(")");
    }
    term.append(": ", typeLink(field.type));
    list.append(term, element("dd", field.description ?? ""));
  }
  for (const value of type.enumValues ?? []) list.append(element("dt", value.name), element("dd", value.description ?? ""));
  part.append(list);
  return part;
}

async function draw() {
  const docs = $("docs");
  const { body } = await ask({ query: SCHEMA }, {});
  const schema = body.data.__schema;
  const roots = [[schema.mutationType, "Mutations"], [schema.queryType, "Queries"], [schema.subscriptionType, "Subscriptions"]].filter(([type]) => type);
  docs.replaceChildren(element("h2", "Docs"));
  const find = (name) => schema.types.find((type) => type.name === name);
  for (const [type, title] of roots) docs.append(section(find(type.name), title));
  const rest = schema.types.filter((type) => !type.name.startsWith("__") && !roots.some(([root]) => root.name === type.name));
  for (const type of rest.sort((a, b) => a.name.localeCompare(b.name))) docs.append(section(type));
}

$("docs-toggle").addEventListener("click", async () => {
  const docs = $("docs");
  docs.hidden = !docs.hidden;
  $("docs-toggle").setAttribute("aria-expanded", String(!docs.hidden));
  if (!docs.hidden && !docs.childElementCount) {
    try { await draw(); } catch (error) { docs.textContent = `The schema could not be read: ${error.message}`; }
  }
});
