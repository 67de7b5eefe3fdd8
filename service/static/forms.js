// Forms that are sent by script: what is sent, the waiting, and what was refused, said at the form.
import { call, Refusal } from "/static/api.js";
import { $, make } from "/static/dom.js";

const LISTS = ["camera", "exclude_camera"]; // of a query; several names with commas between

export function onSubmit(selector, path, fields, show) {
  const form = $(selector);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.ariaBusy !== "true") send(form, $(`${selector}-message`), path, fields(form), show);
  });
  form.addEventListener("input", () => countOptions(form));
  form.addEventListener("reset", () => setTimeout(() => countOptions(form)));
  form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true);
}

async function send(form, message, path, body, show) {
  const ended = new AbortController();
  const stop = make("button", { type: "button", className: "plain stop", textContent: "Stop" });
  stop.addEventListener("click", () => ended.abort());
  const submit = $(".actions button", form);
  submit.after(stop);
  form.ariaBusy = "true";
  say(message, "Working …");
  try {
    const response = await call(path, { method: "POST", body, signal: ended.signal });
    show(await response.json(), form, body);
  } catch (error) {
    say(message, explain(error, form, body.getAll("images")), true);
  } finally {
    form.ariaBusy = "false";
    if (document.activeElement === stop) submit.focus();
    stop.remove();
  }
}

export function say(place, text, bad = false) {
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

// What was filled in, as the API wants it.
export function filledIn(form, lists = []) {
  const sent = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value === "") continue;
    if (lists.includes(name)) value.split(",").filter((part) => part.trim()).forEach((part) => sent.append(name, part.trim()));
    else if (form.elements[name].type === "datetime-local") sent.append(name, new Date(value).toISOString());
    else sent.append(name, value);
  }
  return sent;
}

export const queryFields = (form) => filledIn(form, LISTS);

// The problem in the form's own words: its labels, and which of several files.
function explain(error, form, files) {
  if (!(error instanceof Refusal)) return error.message;
  const { errors, image, images } = error.problem;
  if (errors) return errors.map(({ field, message }) => `${label(form, field)}: ${message}`).join("; ");
  if (files.length > 1 && images) return images.map((i) => `${i.filename}: ${i.error.detail}`).join("; ");
  return files.length > 1 && image !== undefined ? `${files[image].name}: ${error.message}` : error.message;
}

function label(form, field) {
  const text = form.elements[field.split(".")[0]]?.labels?.[0]?.innerText;
  return text ? text.split(/[:\n]/)[0].trim() : field;
}

// Filters that work while they are folded away are counted where they can be seen.
function countOptions(form) {
  const inputs = form.querySelectorAll("details input, details select");
  const set = [...inputs].filter((input) => (input.type === "checkbox" ? input.checked : input.value !== "")).length;
  $(".count", form).textContent = set ? `(${set} set)` : "";
}
