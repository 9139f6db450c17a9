// Schemas: resolving, showing, and making an example. Reads OpenAPI 3.x and Swagger 2.0.

/** An element with properties and children; children that are strings become text, so nothing is ever parsed as HTML. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** Text with code between backticks. */
export const inline = (text = "") => text.split(/`([^`]*)`/).map((part, i) => (i % 2 ? h("code", {}, part) : part));

/** Text with paragraphs at blank lines. */
export const prose = (text = "") => text.split(/\n\s*\n/).filter(Boolean).map((paragraph) => h("p", {}, inline(paragraph)));

/** What a reference points at; anything else is itself. */
export function resolve(doc, node) {
  for (let hops = 0; node?.$ref?.startsWith("#/") && hops < 20; hops++) {
    node = node.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  }
  return node ?? {};
}

const types = (schema) => [schema.type ?? []].flat().filter((type) => type !== "null");
const alternatives = (schema) => (schema.oneOf ?? schema.anyOf)?.filter((one) => one.type !== "null");

/** A schema with the parts of its `allOf`, and of an `oneOf` that only adds null, put together. */
export function flat(doc, node) {
  let schema = resolve(doc, node);
  const parts = schema.allOf ?? (alternatives(schema)?.length === 1 ? alternatives(schema) : undefined);
  if (!parts) return schema;
  const { allOf, oneOf, anyOf, ...own } = schema;
  for (const part of parts) {
    const more = flat(doc, part);
    own.properties = { ...more.properties, ...own.properties };
    own.required = [...(more.required ?? []), ...(own.required ?? [])];
    for (const key of Object.keys(more)) own[key] ??= more[key];
  }
  return own;
}

/** The type in a few words. */
export function typeName(doc, node) {
  const schema = flat(doc, node);
  const choice = alternatives(schema);
  if (choice) return choice.map((one) => typeName(doc, one)).join(" | ");
  const type = types(schema).join(" | ") || (schema.properties ? "object" : "any");
  if (type === "array") return `${typeName(doc, schema.items ?? {})}[]`;
  return schema.format ? `${type} (${schema.format})` : type;
}

/** Restrictions that are worth a word. */
function limits(schema) {
  const told = [];
  if (schema.enum) told.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}`);
  if (schema.minimum !== undefined) told.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined) told.push(`at most ${schema.maximum}`);
  if (schema.default !== undefined) told.push(`default ${JSON.stringify(schema.default)}`);
  return told.join("; ");
}

/** Words about a schema beside its type. */
export const about = (doc, node, description) => {
  const schema = flat(doc, node);
  return [...prose(description ?? schema.description), limits(schema) && h("p", { className: "soft" }, limits(schema))].filter(Boolean);
};

/** A schema as a list of members that unfold. */
export function show(doc, node, depth = 0) {
  const schema = flat(doc, node);
  if (types(schema).includes("array")) return show(doc, schema.items ?? {}, depth);
  const members = Object.entries(schema.properties ?? {});
  if (!members.length || depth > 6) return h("div", {}, h("span", { className: "type" }, typeName(doc, node)), about(doc, schema));
  return h("ul", { className: "schema" }, members.map(([name, member]) => {
    const inner = flat(doc, types(flat(doc, member)).includes("array") ? flat(doc, member).items ?? {} : member);
    const head = [h("code", {}, name), " ", h("span", { className: "type" }, typeName(doc, member)),
      schema.required?.includes(name) ? h("span", { className: "must" }, " required") : ""];
    const words = about(doc, member, resolve(doc, member).description);
    if (!Object.keys(inner.properties ?? {}).length) return h("li", {}, head, words);
    return h("li", {}, h("details", {}, h("summary", {}, head), words, show(doc, inner, depth + 1)));
  }));
}

/** An example: the document's own, or one made from the schema. */
export function example(doc, node, depth = 0) {
  const schema = flat(doc, node);
  const given = schema.example ?? schema.examples?.[0] ?? schema.default ?? schema.const ?? schema.enum?.[0];
  if (given !== undefined) return given;
  if (depth > 6) return null;
  const choice = alternatives(schema);
  if (choice) return example(doc, choice[0], depth + 1);
  const type = types(schema)[0] ?? (schema.properties ? "object" : undefined);
  switch (type) {
    case "object": return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, member]) => [name, example(doc, member, depth + 1)]));
    case "array": return [example(doc, schema.items ?? {}, depth + 1)];
    case "integer": case "number": return schema.minimum ?? 0;
    case "boolean": return false;
    case "string": return { "date-time": "2026-01-31T12:00:00Z", uuid: "0199c1a2-0000-7000-8000-000000000001" }[schema.format] ?? "string";
    default: return null;
  }
}
