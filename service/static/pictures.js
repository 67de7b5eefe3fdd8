// Stored pictures. They are fetched with the API key when they come into view, and dropped with what shows them.
import { address, call } from "/static/api.js";
import { make } from "/static/dom.js";

const wanted = new WeakMap(); // image → its address
const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => load(entry.target)),
  { rootMargin: "400px" },
);

export function storedPicture(identity, id, alt) {
  const image = make("img", { alt, className: "crop" });
  wanted.set(image, address(identity, id));
  seen.observe(image);
  return image;
}

async function load(image) {
  seen.unobserve(image);
  try {
    const url = URL.createObjectURL(await (await call(wanted.get(image))).blob());
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  } catch {
    image.classList.add("gone"); // the gallery keeps no pictures, or it was deleted meanwhile
  }
}
