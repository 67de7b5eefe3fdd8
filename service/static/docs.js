// Draws /openapi.json: operations, their fields, and what they answer. Nothing comes from another host.
const api = await (await fetch("/openapi.json")).json();
document.querySelector("#version").textContent = `${api.info.title} ${api.info.version}: ${api.info.summary}`;

const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => draw(path, method, operation)),
);
document.querySelector("#operations").replaceChildren(...operations);

function draw(path, method, operation) {
  const entry = element("details");
  const title = element("summary");
  title.append(element("span", method.toUpperCase(), "method"), element("code", path), ` ${operation.description ?? ""}`);
  entry.append(title);
  const rows = [...(operation.parameters ?? []).map(parameter), ...body(operation.requestBody)];
  if (operation.requestBody) entry.append(element("p", operation.requestBody.description));
  if (rows.length) entry.append(table(["field", "in", "type", "meaning"], rows));
  entry.append(table(["status", "answer"], Object.entries(operation.responses).map(answer)));
  return entry;
}

function parameter(p) {
  return [p.name, p.in, type(p.schema), p.description ?? meaning(p.schema)];
}

function body(request) {
  const schema = request && Object.values(request.content)[0].schema;
  if (!schema) return [];
  const kinds = Object.keys(request.content).join(", ");
  return Object.entries(schema.properties).map(([name, value]) => [
    schema.required?.includes(name) ? `${name} (required)` : name,
    name === "images" ? kinds : "body",
    type(value),
    meaning(value),
  ]);
}

function meaning(schema) {
  return schema.description ?? schema.anyOf?.map(meaning).find(Boolean) ?? "";
}

function answer([status, response]) {
  const schema = Object.values(response.content ?? {})[0]?.schema;
  const cell = element("div", response.description);
  if (status < 300 && schema?.$ref) cell.append(element("pre", JSON.stringify(outline(schema), null, 2)));
  return [status, cell];
}

function outline(schema, depth = 0) {
  if (schema.$ref) return outline(api.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  const reference = schema.anyOf?.find((choice) => choice.$ref);
  if (reference) return outline(reference, depth);
  if (schema.type === "array") return [outline(schema.items ?? {}, depth)];
  if (!schema.properties || depth > 6) return type(schema);
  return Object.fromEntries(Object.entries(schema.properties).map(([name, value]) => [name, outline(value, depth)]));
}

function type(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(type).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${type(schema.items ?? {})}`;
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "any");
}

function table(heads, rows) {
  const result = element("table");
  for (const [index, cells] of [heads, ...rows].entries()) {
    const row = element("tr");
    for (const cell of cells) {
      const field = element(index ? "td" : "th");
      field.append(cell);
      row.append(field);
    }
    result.append(row);
  }
  return result;
}

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
