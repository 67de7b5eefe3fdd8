// The page as a whole: which service this is, the API key, and the three sections.
import { getJson, useKey } from "/static/api.js";
import { $, count } from "/static/dom.js";
import { setUpEnrolment } from "/static/enrol.js";
import { guardThePage, takeFiles, takePastes } from "/static/files.js";
import { say } from "/static/forms.js";
import { setUpGallery, showGallery } from "/static/gallery.js";
import { setUpQuery } from "/static/query.js";

takeFiles($("#query"));
takeFiles($("#enrol"));
takePastes($("#query"), [$("#enrol")]);
guardThePage();
setUpQuery();
setUpEnrolment(refresh);
setUpGallery(showStatus);

document.addEventListener("key-wanted", () => {
  $("#key-box").hidden = false;
  $("#key-box").open = true;
});
$("#key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(new FormData(event.target).get("key").trim());
  event.target.reset();
  refresh();
});
$("#forget").addEventListener("click", () => {
  useKey("");
  refresh();
});
refresh();

function refresh() {
  showStatus();
  showGallery();
}

async function showStatus() {
  try {
    const { gallery, manifest, provider, precision, open } = await getJson("/model");
    const empty = gallery.identities === 0;
    say($("#status"), empty
      ? "The gallery is empty: enrol somebody first, then search."
      : `${count(gallery.identities, "identity", "identities")}, ${count(gallery.images, "image", "images")}`);
    $("#model").textContent = `Bundle ${manifest.name}, ${provider} ${precision}. ${manifest.training?.terms ?? ""}`;
    $("#key-box").hidden = open;
    $("#key-box").open = false;
  } catch (error) {
    say($("#status"), error.message, true);
  }
}
