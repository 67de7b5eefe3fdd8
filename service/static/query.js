// Search: the probe beside what super-resolution made of it, and the ranked identities.
import { $, count, make } from "/static/dom.js";
import { onSubmit, queryFields, say } from "/static/forms.js";
import { storedPicture } from "/static/pictures.js";

const SHOWN = 6; // probes of a tracklet

export function setUpQuery() {
  onSubmit("#query", "/query", fields, showAnswer);
}

function fields(form) {
  $("#answer").hidden = true;
  const sent = queryFields(form);
  sent.append("return_super_resolved", "true");
  return sent;
}

function showAnswer(answer, form, sent) {
  const files = sent.getAll("images");
  for (const image of document.querySelectorAll("#probes img")) URL.revokeObjectURL(image.src);
  $("#probes").replaceChildren(...answer.probes.slice(0, SHOWN).map((probe, i) => probeRow(probe, files[i])));
  if (files.length > SHOWN) $("#probes").append(make("p", { textContent: `and ${files.length - SHOWN} more, all in one search` }));
  $("#matches").replaceChildren(...answer.matches.map((match) => matchRow(match, answer.calibration)));
  $("#far").textContent = answer.calibration.note ?? farSentence(answer.calibration);
  const stages = Object.entries(answer.timing_ms).map(([name, ms]) => `${name.replace("_", " ")} ${ms.toFixed(1)}`);
  $("#timing").textContent = `Milliseconds: ${stages.join(", ")}. Bundle ${answer.bundle}.`;
  $("#answer").hidden = false;
  say($("#query-message"), summary(answer));
  if ($("#answer").getBoundingClientRect().top > innerHeight / 2) $("#query-message").scrollIntoView();
}

function summary({ matches, calibration, order }) {
  if (!matches.length) return "Nobody was found: the gallery is empty, or nothing in it passes the options.";
  const ranked = `${count(matches.length, "identity", "identities")} ranked${order === "score" ? "" : ", re-ranked"}`;
  if (calibration.threshold === null) return `${ranked}; best: ${matches[0].identity}. No threshold is known (${calibration.note}).`;
  const passed = matches.filter((match) => match.match);
  if (!passed.length) return `${ranked}; none is a match. Perhaps the person is not in the gallery.`;
  return `${ranked}; ${passed.length === 1 ? "one match" : `${passed.length} matches`}, best: ${passed[0].identity}.`;
}

function farSentence({ far, threshold, low, high }) {
  const between = low === null || high === null ? "" : ` (95% interval ${low.toFixed(2)} to ${high.toFixed(2)})`;
  const one = Math.round(1 / far).toLocaleString("en");
  return `Here it is ${threshold.toFixed(2)}${between}, which another person passes in 1 of ${one} comparisons.`;
}

function probeRow(probe, file) {
  const row = make("div", { className: "probe" }, figure(URL.createObjectURL(file), file.name, `${probe.width}×${probe.height} pixels`));
  if (probe.super_resolved) {
    const text = `super-resolved ${probe.scale}×`;
    row.append(figure(`data:image/png;base64,${probe.super_resolved}`, `${file.name}, ${text}`, text));
  }
  row.append(make("p", { textContent: way(probe) }));
  return row;
}

function way({ scale, branch }) {
  if (scale) return `Compared through the stem for low resolution (${branch}).`;
  if (branch === "hr") return "Large enough: compared as it is, through the stem for sharp crops (hr).";
  return `Enlarged without super-resolution, compared through the stem for low resolution (${branch}).`;
}

function figure(src, alt, text) {
  return make("figure", {}, make("img", { src, alt, className: "crop" }), make("figcaption", { textContent: text }));
}

function matchRow(match, { threshold }) {
  const [best, ...others] = match.images;
  const pictures = make("div", { className: "pictures" }, storedPicture(match.identity, best.image_id, `${match.identity}, best image`));
  for (const other of others) pictures.append(storedPicture(match.identity, other.image_id, ""));
  const verdict = { true: ["match", "✓ match"], false: ["other", "no match"], null: ["other", ""] }[match.match];
  const title = make("h3", {}, `${match.rank}. ${match.identity} `, make("span", { className: verdict[0], textContent: verdict[1] }));
  const cameras = [...new Set(match.images.map((image) => image.camera).filter(Boolean))];
  const facts = [`similarity ${match.score.toFixed(2)}`];
  if (match.probability !== null) facts.push(`probability ${percent(match.probability)}`);
  if (cameras.length) facts.push(`camera ${cameras.join(", ")}`);
  const text = make("p", { textContent: facts.join(" · ") });
  return make("li", {}, pictures, make("div", {}, title, bar(match.score, threshold), text));
}

function percent(probability) {
  if (probability < 0.001) return "below 0.1%";
  return probability > 0.999 ? "above 99.9%" : `${(100 * probability).toFixed(1)}%`;
}

function bar(score, threshold) {
  const element = make("div", { className: "bar", ariaHidden: "true" });
  element.style.setProperty("--score", Math.max(0, score));
  if (threshold !== null) element.style.setProperty("--threshold", Math.max(0, threshold));
  element.classList.toggle("marked", threshold !== null);
  return element;
}
