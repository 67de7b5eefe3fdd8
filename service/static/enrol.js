// Enrolment: what became of each picture.
import { onSubmit, filledIn, say } from "/static/forms.js";
import { $, count, make } from "/static/dom.js";

const FLAGS = { low: "it is low", blurred: "it is blurred", wide: "it is wide", narrow: "it is narrow" };

export function setUpEnrolment(changed) {
  onSubmit("#enrol", "/gallery", filledIn, (answer, form) => {
    const enrolled = answer.images.filter((image) => image.status === "enrolled").length;
    say($("#enrol-message"), `${answer.identity}: ${count(enrolled, "image", "images")} enrolled.`);
    const told = answer.images.filter((image) => image.status !== "enrolled" || image.quality.flags.length);
    $("#enrolled").replaceChildren(...told.map((image) => make("li", { textContent: outcome(image) })));
    const camera = form.elements.camera.value; // most likely the next one's as well
    form.reset();
    form.elements.camera.value = camera;
    changed();
  });
}

function outcome({ filename, status, quality, error }) {
  const name = filename ?? "an image";
  if (status === "rejected") return `${name}: not enrolled: ${error.detail}`;
  if (status === "duplicate") return `${name}: this identity has it already.`;
  return `${name}: enrolled, but ${quality.flags.map((flag) => FLAGS[flag]).join(" and ")}; a better crop is found more often.`;
}
