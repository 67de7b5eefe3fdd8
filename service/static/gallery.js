// The gallery, page by page: look at an identity's images, rename it, delete it or one of its images.
import { address, call, getJson } from "/static/api.js";
import { confirmed, entered } from "/static/ask.js";
import { $, count, make } from "/static/dom.js";
import { say } from "/static/forms.js";
import { storedPicture } from "/static/pictures.js";

const IDENTITIES = 20;
const IMAGES = 24;
const message = $("#gallery-message");
let prefix = "";
let cursors = [null]; // of the pages up to the one on show
const cameras = new Set(); // seen so far, to choose from
let asked = 0; // an answer that a later question has overtaken is not shown
let changed = () => {};

export function setUpGallery(whenChanged) {
  changed = whenChanged;
  $("#browse").addEventListener("submit", (event) => {
    event.preventDefault();
    prefix = new FormData(event.target).get("prefix");
    cursors = [null];
    showGallery();
  });
  $("#next").addEventListener("click", () => turn(() => cursors.push($("#next").value)));
  $("#previous").addEventListener("click", () => turn(() => cursors.pop()));
}

export async function showGallery() {
  const mine = ++asked;
  try {
    const page = await getJson(`/gallery?${parameters({ limit: IDENTITIES, prefix, cursor: cursors.at(-1) })}`);
    if (mine !== asked) return;
    if (!page.identities.length && cursors.length > 1) {
      cursors.pop(); // the last page's last identity was deleted
      await showGallery();
      return;
    }
    if (message.classList.contains("bad")) say(message, "");
    draw(page);
  } catch (error) {
    if (mine === asked) say(message, error.message, true);
  }
}

function draw(page) {
  const none = make("li", { textContent: prefix ? `No identity starts with ${prefix}.` : "The gallery is empty." });
  $("#identities").replaceChildren(...(page.identities.length ? page.identities.map(identityEntry) : [none]));
  page.identities.flatMap((identity) => identity.cameras).forEach((camera) => cameras.add(camera));
  $("#cameras").replaceChildren(...[...cameras].sort().map((value) => make("option", { value })));
  $("#previous").hidden = cursors.length === 1;
  $("#next").hidden = page.next_cursor === null;
  $("#next").value = page.next_cursor ?? "";
}

async function turn(step) {
  step();
  await showGallery();
  say(message, `Page ${cursors.length}`);
  $("#gallery").focus();
}

function identityEntry({ identity, images, cameras }) {
  const where = cameras.length ? ` · camera ${cameras.join(", ")}` : "";
  const content = make("div");
  const entry = make("details", {}, make("summary", {}, make("b", { textContent: identity }), ` ${count(images, "image", "images")}${where}`), content);
  entry.addEventListener("toggle", () => entry.open && open(content, identity, images), { once: true });
  return make("li", {}, entry);
}

async function open(content, identity, images) {
  const pictures = make("ul", { className: "pictures" });
  const more = button("More images", () => fill(pictures, more, identity));
  content.replaceChildren(
    make("div", { className: "actions" }, button("Rename …", () => rename(identity)), button("Delete …", () => remove(identity, images))),
    pictures,
    more,
  );
  await fill(pictures, more, identity);
}

async function fill(pictures, more, identity) {
  await tell(async () => {
    const query = parameters({ limit: IMAGES, cursor: more.value });
    const page = await getJson(`${address(identity)}?${query}`);
    pictures.append(...page.images.map((image) => imageEntry(identity, image)));
    more.value = page.next_cursor ?? "";
    more.hidden = page.next_cursor === null;
  });
}

function imageEntry(identity, image) {
  const name = image.filename ?? `image ${image.image_id}`;
  const time = image.captured_at ? new Date(image.captured_at).toLocaleString() : "";
  const lines = [name, image.camera, time, image.flagged ? "poor quality" : ""].filter(Boolean).join(", ");
  const entry = make("li", {});
  const erase = button("Delete …", () => removeImage(identity, image.image_id, name));
  erase.ariaLabel = `Delete ${name} …`;
  entry.append(storedPicture(identity, image.image_id, name), make("span", { textContent: lines }), erase);
  return entry;
}

async function rename(identity) {
  const name = await entered(`Rename ${identity}`, "Its images, vectors and searches follow.", "Rename", identity);
  if (name === null || name === identity) return;
  await tell(async () => {
    const title = `${name} exists already`;
    const text = `The images of ${identity} become images of ${name}. They cannot be told apart afterwards.`;
    if ((await exists(name)) && !(await confirmed(title, text, "Merge"))) return;
    const body = new FormData();
    body.append("identity", name);
    await call(address(identity), { method: "PATCH", body });
    await done(`${identity} is now ${name}.`);
  });
}

async function remove(identity, images) {
  const text = `${count(images, "image and its vector", "images and their vectors")} will be erased. This cannot be undone.`;
  if (!(await confirmed(`Delete ${identity}?`, text, "Delete"))) return;
  await tell(async () => {
    await call(address(identity), { method: "DELETE" });
    await done(`${identity} was deleted.`);
  });
}

async function removeImage(identity, id, name) {
  const text = "It and its vector will be erased. This cannot be undone.";
  if (!(await confirmed(`Delete ${name} of ${identity}?`, text, "Delete"))) return;
  await tell(async () => {
    await call(address(identity, id), { method: "DELETE" });
    await done(`${name} of ${identity} was deleted.`);
  });
}

async function exists(identity) {
  const { identities } = await getJson(`/gallery?${parameters({ prefix: identity, limit: 1 })}`);
  return identities[0]?.identity === identity.normalize("NFC"); // in order of name, so it comes before what it begins
}

async function done(text) {
  await showGallery();
  say(message, text);
  $("#gallery").focus();
  changed();
}

async function tell(work) {
  try {
    await work();
  } catch (error) {
    say(message, error.message, true);
  }
}

const button = (text, action) => {
  const made = make("button", { type: "button", className: "plain", textContent: text });
  made.addEventListener("click", action);
  return made;
};

const parameters = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== "" && value !== undefined));
