// One question at a time, in the page's dialog: resolves to true, to the text that was entered, or to null.
import { $ } from "/static/dom.js";

const dialog = $("#ask");
const input = $("input", dialog);
const [no, yes] = dialog.querySelectorAll("button"); // `no` submits nothing, so that Enter in the name means yes
no.addEventListener("click", () => dialog.close("no"));

export function confirmed(title, text, action) {
  return ask(title, text, action).then((answer) => answer !== null);
}

export function entered(title, text, action, value) {
  return ask(title, text, action, value);
}

function ask(title, text, action, value) {
  $("#ask-title").textContent = title;
  $("#ask-text").textContent = text;
  yes.textContent = action;
  input.parentElement.hidden = value === undefined;
  input.required = value !== undefined;
  input.value = value ?? "";
  dialog.returnValue = "no";
  dialog.showModal(); // the first control has the focus: the name, or else Cancel
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? input.value.trim() : null), { once: true });
  });
}
