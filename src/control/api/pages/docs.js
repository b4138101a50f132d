"use strict";
// Reads an OpenAPI document and makes a form of each operation. Texts enter the page as text, never as markup.

const find = (id) => document.getElementById(id);

function make(name, text, ...inner) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...inner);
  return element;
}

// A schema with its references followed, as far as a sample needs it.
function sample(schema, schemas, depth = 0) {
  if (!schema || depth > 6) return null;
  if (schema.$ref) return sample(schemas[schema.$ref.split("/").pop()], schemas, depth + 1);
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  const options = schema.oneOf || schema.anyOf;
  if (options) return sample(options.find((option) => option.type !== "null") || options[0], schemas, depth + 1);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => sample(part, schemas, depth + 1)));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" || schema.properties) {
    const entries = Object.entries(schema.properties || {});
    return Object.fromEntries(entries.map(([name, inner]) => [name, sample(inner, schemas, depth + 1)]));
  }
  if (type === "array") return [sample(schema.items, schemas, depth + 1)];
  return { integer: 0, number: 0, boolean: false, string: "" }[type] ?? null;
}

function authorization() {
  const token = find("token").value.trim();
  if (token) return `Bearer ${token}`;
  const user = find("user").value.trim();
  if (!user) return null;
  const bytes = new TextEncoder().encode(`${user}:${find("password").value}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

async function send(base, path, method, operation, inputs, output) {
  const headers = {};
  let target = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs.parameters) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
    else if (input.value) headers[parameter.name] = input.value;
  }
  const login = authorization();
  if (login) headers.Authorization = login;
  // What is typed in above counts, and a refusal is shown: the browser is not to ask for a login of its own.
  const request = { method: method.toUpperCase(), headers, credentials: "omit" };
  if (inputs.body) {
    headers["Content-Type"] = Object.keys(operation.requestBody.content)[0];
    request.body = inputs.body.value;
  }
  const text = query.toString();
  output.textContent = "…";
  try {
    const answer = await fetch(base + target + (text ? `?${text}` : ""), request);
    const body = await answer.text();
    let shown = body;
    try { shown = JSON.stringify(JSON.parse(body), null, 2); } catch { /* it is no JSON */ }
    output.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    output.textContent = `no answer: ${error.message}`;
  }
}

function form(base, path, method, operation, schemas) {
  const details = make("details", "", make("summary", "", make("span", "", make("code", method.toUpperCase())), make("code", ` ${path}`), make("span", ` ${operation.summary || ""}`)));
  details.querySelector("span").className = "method";
  if (operation.description) details.append(make("p", operation.description));
  const inputs = { parameters: [], body: null };
  for (const parameter of operation.parameters || []) {
    const input = make("input");
    input.placeholder = parameter.description || (parameter.required ? "required" : "");
    inputs.parameters.push({ parameter, input });
    details.append(make("label", `${parameter.name} (${parameter.in})`, input), " ");
  }
  if (operation.requestBody) {
    const [[media, content]] = Object.entries(operation.requestBody.content);
    inputs.body = make("textarea");
    inputs.body.setAttribute("aria-label", `body, ${media}`);
    if (media === "application/json") inputs.body.value = JSON.stringify(sample(content.schema, schemas), null, 2);
    details.append(make("p", `Body: ${media}`), inputs.body);
  }
  const output = make("pre");
  output.hidden = true;
  const button = make("button", "Send");
  button.type = "button";
  button.addEventListener("click", () => {
    output.hidden = false;
    send(base, path, method, operation, inputs, output);
  });
  const answers = Object.entries(operation.responses).map(([status, answer]) => make("tr", "", make("td", status), make("td", answer.description)));
  details.append(button, output, make("table", "", make("tr", "", make("th", "Status"), make("th", "Meaning")), ...answers));
  return details;
}

async function show() {
  const place = find("operations");
  const address = find("face").value;
  find("document").textContent = address;
  find("document").href = address;
  try {
    const read = await (await fetch(address)).json();
    const base = read.servers[0].url.replace(/\/$/, "");
    const sections = (read.tags || []).map((tag) => {
      const section = make("section", "", make("h2", tag.name), make("p", tag.description || ""));
      for (const [path, methods] of Object.entries(read.paths)) {
        for (const [method, operation] of Object.entries(methods)) {
          if ((operation.tags || []).includes(tag.name)) section.append(form(base, path, method, operation, read.components.schemas));
        }
      }
      return section;
    });
    place.replaceChildren(make("p", read.info.description || ""), ...sections);
  } catch (error) {
    place.replaceChildren(make("p", `The document cannot be read: ${error.message}`));
  }
}

find("face").addEventListener("change", show);
for (const login of document.forms) login.addEventListener("submit", (event) => event.preventDefault());
show();
