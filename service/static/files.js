// Pictures come into a form by the file chooser, by dropping them on its section, or by pasting.
import { $, make } from "/static/dom.js";

const SHOWN = 12;

export function takeFiles(form) {
  const input = form.elements.images;
  const section = form.closest("section");
  input.addEventListener("change", () => preview(form));
  form.addEventListener("reset", () => setTimeout(() => preview(form)));
  section.addEventListener("dragover", () => section.classList.add("over"));
  section.addEventListener("dragleave", ({ relatedTarget: to }) => section.classList.toggle("over", section.contains(to)));
  section.addEventListener("drop", (event) => {
    section.classList.remove("over");
    put(form, event.dataTransfer.files);
  });
}

// Without this a picture that misses its section would replace the page.
export function guardThePage() {
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
}

// Into the form that has the focus, else into the search; text goes where text is typed.
export function takePastes(query, others) {
  document.addEventListener("paste", (event) => {
    if (event.target.matches?.("input:not([type=file])") && event.clipboardData.types.includes("text/plain")) return;
    const form = others.find((other) => other.contains(document.activeElement)) ?? query;
    if (put(form, event.clipboardData.files)) event.preventDefault();
  });
}

function put(form, files) {
  if (!files.length) return false;
  form.elements.images.files = files;
  preview(form);
  return true;
}

function preview(form) {
  const files = [...form.elements.images.files];
  const list = $(".previews", form);
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  list.replaceChildren(...files.slice(0, SHOWN).map(thumbnail));
  if (files.length > SHOWN) list.append(make("li", { textContent: `and ${files.length - SHOWN} more` }));
}

function thumbnail(file) {
  const image = make("img", { src: URL.createObjectURL(file), alt: file.name });
  return make("li", {}, image);
}
