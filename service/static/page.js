import { call, useKey } from "/static/api.js";

const $ = (selector, root = document) => root.querySelector(selector);
const pictures = []; // object URLs of the answer on show

$("#key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(new FormData(event.target).get("key").trim());
  event.target.reset();
  showStatus();
});

for (const input of document.querySelectorAll("input[type=file]")) {
  const previews = $(".previews", input.form);
  const draw = () => {
    for (const image of previews.children) URL.revokeObjectURL(image.src);
    previews.replaceChildren(...[...input.files].slice(0, 12).map((file) => picture(URL.createObjectURL(file))));
  };
  input.addEventListener("change", draw);
  input.form.addEventListener("reset", () => setTimeout(draw));
}

onSubmit("#query", "#query-message", async (form) => {
  $("#answer").hidden = true;
  showAnswer(await (await call("/query", { method: "POST", body: form })).json());
});

onSubmit("#enrol", "#enrol-message", async (form, element) => {
  const answer = await (await call("/gallery", { method: "POST", body: form })).json();
  const lines = answer.images.map((image) => {
    const flags = image.quality?.flags.length ? ` (${image.quality.flags.join(", ")})` : "";
    return `${image.filename ?? "image"}: ${image.status}${flags} ${image.error?.detail ?? ""}`;
  });
  $("#enrolled").replaceChildren(...lines.map((line) => item(`${answer.identity} ← ${line}`)));
  element.reset();
  showStatus();
});

showStatus();

function onSubmit(selector, message, send) {
  $(selector).addEventListener("submit", async (event) => {
    event.preventDefault();
    const element = event.target;
    const button = $("button", element);
    const form = new FormData(element);
    for (const [name, value] of [...form]) if (value === "") form.delete(name);
    $(message).textContent = "";
    button.disabled = true;
    try {
      await send(form, element);
    } catch (error) {
      $(message).textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

async function showStatus() {
  try {
    const model = await (await call("/model")).json();
    const { identities, images } = model.gallery;
    $("#status").textContent =
      `${identities} identities, ${images} images; bundle ${model.manifest.name}, ${model.provider} ${model.precision}`;
  } catch (error) {
    $("#status").textContent = error.message;
  }
}

function showAnswer(answer) {
  pictures.splice(0).forEach((url) => URL.revokeObjectURL(url));
  const { probe, calibration, timing_ms: ms } = answer;
  const way = probe.scale ? `super-resolved ${probe.scale}×` : `no super-resolution, ${probe.branch} stem`;
  $("#probe").textContent = `${probe.width}×${probe.height} pixels, ${way}. ${calibration.note ?? ""}`;
  $("#matches").replaceChildren(...answer.matches.map(matchItem));
  if (!answer.matches.length) $("#matches").replaceChildren(item("Nobody in the gallery passes."));
  const stages = Object.entries(ms).map(([name, value]) => `${name.replace("_", " ")} ${value.toFixed(1)} ms`);
  $("#timing").textContent = stages.join(" · ");
  $("#answer").hidden = false;
}

function matchItem(match) {
  const entry = $("#match").content.cloneNode(true);
  $(".identity", entry).textContent = `${match.rank}. ${match.identity}`;
  $("meter", entry).value = match.score;
  const probability = match.probability === null ? "" : `, probability ${(100 * match.probability).toFixed(1)}%`;
  $(".score", entry).textContent = `score ${match.score.toFixed(4)}${probability}`;
  const verdict = $(".verdict", entry);
  if (match.match !== null) {
    verdict.textContent = match.match ? "match" : "unknown";
    verdict.classList.add(match.match ? "match" : "unknown");
  }
  const best = match.images[0];
  if (best) showPicture($("img", entry), match.identity, best.image_id);
  return entry;
}

async function showPicture(image, identity, id) {
  try {
    const response = await call(`/gallery/${encodeURIComponent(identity)}/images/${encodeURIComponent(id)}`);
    pictures.push((image.src = URL.createObjectURL(await response.blob())));
  } catch {
    image.remove(); // the gallery keeps no pictures
  }
}

function picture(url) {
  const image = new Image();
  image.src = url;
  image.alt = "";
  return image;
}

function item(text) {
  const entry = document.createElement("li");
  entry.textContent = text;
  return entry;
}
