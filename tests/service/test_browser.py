"""The search page and the reference in a real browser: what a person does there, and what is then to be seen."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from service.keys import Scope
from tests.service.conftest import Enrol
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page

GIVE = """([kind, place, name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt());
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: "image/png" }));
    const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    const event = kind === "drop" ? new DragEvent(kind, options) : new ClipboardEvent(kind, options);
    document.querySelector(place).dispatchEvent(event);
}"""


def crop(seed: int, ratio: int = 2) -> "FilePayload":
    data = encoded(low_resolution(person(seed), ratio))
    return {"name": f"probe-{seed}.png", "mimeType": "image/png", "buffer": data}


def search(page: "Page", *files: "FilePayload") -> None:
    page.set_input_files("#query [name=images]", list(files))
    page.click("#query button")


def ranked(page: "Page") -> list[str]:
    page.wait_for_selector("#matches li")
    return [title.split()[1] for title in page.locator("#matches h3").all_text_contents()]


def loaded(page: "Page", selector: str) -> list[tuple[int, int]]:
    """The natural sizes of the pictures, once each has one."""
    page.wait_for_function(
        "s => [...document.querySelectorAll(s)].every((i) => i.complete && i.naturalWidth)", arg=selector
    )
    sizes = page.eval_on_selector_all(
        selector, "images => images.map((i) => [i.naturalWidth, i.naturalHeight])"
    )
    return [(width, height) for width, height in sizes]


def says(page: "Page", selector: str, text: str) -> None:
    page.locator(selector, has_text=text).wait_for()


def test_an_empty_gallery_says_what_to_do_first(client: httpx.Client, live: Live, page: "Page") -> None:
    page.goto(live.url)
    says(page, "#status", "The gallery is empty: enrol somebody first, then search.")
    says(page, "#identities", "The gallery is empty.")
    assert page.locator("#key-box").is_hidden()  # the service is open


def test_the_probe_stands_beside_its_super_resolved_version_and_the_ranking(
    live: Live, enrol: Enrol, page: "Page"
) -> None:
    for seed, name in enumerate(["anna", "ben", "carl"]):
        enrol(name, (seed, seed + 10), camera="yard")
    page.goto(live.url)
    says(page, "#status", "3 identities, 6 images")
    search(page, crop(1))
    assert ranked(page)[0] == "ben"
    says(page, "#query-message", "3 identities ranked; one match, best: ben.")
    assert loaded(page, "#probes img") == [(16, 32), (32, 64)]
    says(page, "#probes", "super-resolved 2×")
    assert loaded(page, "#matches img")[0] == (32, 64)
    first, second = page.locator("#matches li").all_inner_texts()[:2]
    assert "✓ match" in first and "similarity" in first and "probability" in first and "camera yard" in first
    assert "no match" in second


def test_a_tracklet_shows_each_probe_and_the_way_it_took(live: Live, enrol: Enrol, page: "Page") -> None:
    enrol("anna", (1,))
    page.goto(live.url)
    sharp: FilePayload = {"name": "sharp.png", "mimeType": "image/png", "buffer": encoded(person(1, 128))}
    search(page, crop(1), sharp)
    says(page, "#probes .probe:nth-child(1)", "stem for low resolution (sr)")
    says(page, "#probes .probe:nth-child(2)", "stem for sharp crops (hr)")
    assert page.locator("#probes .probe:nth-child(2) img").count() == 1


def test_the_options_reach_the_search_and_are_counted_while_folded(
    client: httpx.Client, live: Live, enrol: Enrol, page: "Page"
) -> None:
    enrol("anna", (1,), camera="yard", captured_at="2026-03-01T10:00:00Z")
    enrol("anton", (2,), camera="door", captured_at="2026-03-02T10:00:00Z")
    enrol("arno", (3,), camera="hall", captured_at="2026-03-03T10:00:00Z")
    enrol("berta", (4,), camera="yard", captured_at="2026-03-02T10:00:00Z")
    page.goto(live.url)
    page.click("#query summary")
    expected = {
        "prefix": ("a", {"anna", "anton", "arno"}),
        "exclude_camera": ("yard, hall", {"anton"}),
        "camera": ("yard,door", {"anna", "anton", "berta"}),
        "since": ("2026-03-02T00:00", {"anton", "arno", "berta"}),
        "until": ("2026-03-03T00:00", {"anna", "anton", "berta"}),
        "top_k": ("1", {"anna"}),
    }
    for name, (value, _) in expected.items():
        page.fill(f"#query [name={name}]", value)
        page.click("#query summary")
        says(page, "#query .count", "(1 set)")
        page.click("#query summary")
        with page.expect_response("**/query") as answer:
            search(page, crop(1))
        page.fill(f"#query [name={name}]", "")
        found = {match["identity"] for match in answer.value.json()["matches"]}
        assert found == expected[name][1], name
    page.check("#query [name=rerank]")
    search(page, crop(1))
    says(page, "#query-message", "re-ranked")
    page.select_option("#query [name=super_resolution]", "off")
    search(page, crop(1))
    says(page, "#probes", "Enlarged without super-resolution")


def test_a_refusal_is_a_sentence_in_the_words_of_the_form(live: Live, enrol: Enrol, page: "Page") -> None:
    enrol("anna", (1,))
    page.goto(live.url)
    page.click("#query summary")
    page.fill("#query [name=since]", "2026-03-02T00:00")
    page.fill("#query [name=until]", "2026-03-01T00:00")
    search(page, crop(1))
    says(page, "#query-message.bad", "Taken before: must be after since")
    page.fill("#query [name=until]", "")
    search(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}, crop(1))
    says(page, "#query-message.bad", "notes.txt: This kind of content is not accepted")
    page.fill("#query [name=prefix]", "z")
    page.fill("#query [name=since]", "")
    search(page, crop(1))
    says(
        page, "#query-message", "Nobody was found: the gallery is empty, or nothing in it passes the options."
    )


def test_a_wrong_option_is_shown_where_it_is_folded_away(live: Live, page: "Page") -> None:
    page.goto(live.url)
    page.click("#query summary")
    page.fill("#query [name=top_k]", "0")
    page.click("#query summary")
    search(page, crop(1))
    assert page.locator("#query [name=top_k]").is_visible()


def test_a_service_that_does_not_answer_can_be_stopped_and_tried_again(
    live: Live, enrol: Enrol, page: "Page"
) -> None:
    enrol("anna", (1,))
    page.goto(live.url)
    page.route("**/query", lambda _: None)  # the network swallows it
    search(page, crop(1))
    page.click("#query .stop")
    says(page, "#query-message.bad", "Stopped waiting for the answer.")
    assert page.evaluate("document.activeElement.textContent") == "Search"
    page.unroute("**/query")
    page.route("**/query", lambda route: route.abort())
    search(page, crop(1))
    says(page, "#query-message.bad", "The service did not answer.")
    page.unroute("**/query")
    search(page, crop(1))
    assert ranked(page) == ["anna"]


@pytest.mark.parametrize("section", ["query", "enrol"])
def test_a_picture_can_be_dropped_on_its_section_and_pasted(live: Live, page: "Page", section: str) -> None:
    page.goto(live.url)
    data = base64.b64encode(crop(1)["buffer"]).decode()
    page.evaluate(GIVE, ["drop", f"section:has(#{section}) h2", "dropped.png", data])
    page.locator(f"#{section} .previews img[alt='dropped.png']").wait_for()
    assert loaded(page, f"#{section} .previews img") == [(16, 32)]
    page.focus(f"#{section} summary")
    page.evaluate(GIVE, ["paste", f"#{section} summary", "pasted.png", data])
    page.locator(f"#{section} .previews img[alt='pasted.png']").wait_for()
    assert page.locator(".previews img").count() == 1


def test_a_picture_dropped_beside_a_section_does_not_replace_the_page(live: Live, page: "Page") -> None:
    page.goto(live.url)
    untouched = "document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true }))"
    assert page.evaluate(untouched) is False


def test_enrolment_says_what_became_of_each_picture(client: httpx.Client, live: Live, page: "Page") -> None:
    page.goto(live.url)
    low: FilePayload = {"name": "low.png", "mimeType": "image/png", "buffer": encoded(person(2, 24))}
    sharp: FilePayload = {"name": "sharp.png", "mimeType": "image/png", "buffer": encoded(person(1))}
    text: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.set_input_files("#enrol [name=images]", [sharp, low, text])
    page.fill("#enrol [name=identity]", "anna")
    page.click("#enrol summary")
    page.fill("#enrol [name=camera]", "yard")
    page.fill("#enrol [name=captured_at]", "2026-03-01T10:00")
    page.click("#enrol button")
    says(page, "#enrol-message", "anna: 2 images enrolled.")
    says(page, "#enrolled", "low.png: enrolled, but it is low")
    says(page, "#enrolled", "notes.png: not enrolled: not a JPEG, PNG, WebP or BMP image")
    says(page, "#status", "1 identity, 2 images")
    says(page, "#identities", "anna 2 images · camera yard")
    [first, _] = client.get("/gallery/anna").json()["images"]
    there = page.evaluate("new Date('2026-03-01T10:00').toISOString()")
    assert first["captured_at"][:16] == there[:16] and first["camera"] == "yard"
    assert page.input_value("#enrol [name=camera]") == "yard" and not page.input_value(
        "#enrol [name=identity]"
    )
    page.set_input_files("#enrol [name=images]", [sharp])
    page.fill("#enrol [name=identity]", "anna")
    page.click("#enrol button")
    says(page, "#enrolled", "sharp.png: this identity has it already.")


def test_the_key_is_asked_for_kept_in_the_tab_and_forgotten(
    serve: Callable[..., Live], page: "Page", tmp_path: Path
) -> None:
    live = serve(auth="keys")
    key = live.services.gate._store.create("page", Scope.ADMIN)
    page.goto(live.url)
    says(page, "#status.bad", "The service wants an API key: enter it under “API key”.")
    page.fill("#key input", "dgrl_nonsense")
    page.keyboard.press("Enter")
    says(page, "#status.bad", "The API key is not valid.")
    page.fill("#key input", key)
    page.click("#key button")
    says(page, "#status", "The gallery is empty")
    assert key not in page.url and not page.evaluate("JSON.stringify(localStorage) + document.cookie").count(
        key
    )
    page.reload()
    says(page, "#status", "The gallery is empty")
    page.click("#key-box summary")
    page.click("#forget")
    says(page, "#status.bad", "The service wants an API key")


def test_a_name_is_text_and_never_markup(
    client: httpx.Client, live: Live, enrol: Enrol, page: "Page"
) -> None:
    name = "<img src=x onerror=document.title='hit'>/../%2e ünï"
    assert enrol(name, (1,)).status_code == 201
    page.goto(live.url)
    search(page, crop(1))
    page.wait_for_selector("#matches li")
    assert name in page.inner_text("#matches") and loaded(page, "#matches img") == [(32, 64)]
    assert page.title() != "hit"


def test_of_many_results_only_the_pictures_in_view_are_fetched(
    live: Live, enrol: Enrol, page: "Page"
) -> None:
    for seed in range(60):
        enrol(f"person-{seed:02}", (seed,))
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if "/images/" in request.url else None)
    page.goto(live.url)
    page.click("#query summary")
    page.fill("#query [name=top_k]", "1000")
    search(page, crop(7))
    assert len(ranked(page)) == 60
    loaded(page, "#matches li:first-child img")
    assert 0 < len(fetched) < 30
    page.locator("#matches li").last.scroll_into_view_if_needed()
    loaded(page, "#matches li:last-child img")


@pytest.mark.parametrize("width", [320, 1280])
def test_everything_fits_is_labelled_and_is_reached_by_keyboard(
    live: Live, enrol: Enrol, page: "Page", width: int
) -> None:
    enrol("a-very-long-name-" * 7, (1,), camera="c" * 100)
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(live.url)
    page.focus("#query [name=images]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # unfolds the options
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "top_k"
    search(page, crop(1))
    page.wait_for_selector("#matches li")
    page.click("#identities summary")
    page.wait_for_selector("#identities img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = """() => [...document.querySelectorAll("input, select, button, summary")].filter(
        (e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel) && e.checkVisibility())"""
    assert page.evaluate(f"({nameless})().length") == 0
    assert page.locator("#query-message[role=status]").count() == 1


def test_the_reference_is_drawn_from_the_openapi(client: httpx.Client, live: Live, page: "Page") -> None:
    page.goto(f"{live.url}/docs")
    page.wait_for_selector("#operations details")
    text = page.content()
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        assert f"<code>{path}</code>" in text
        for operation in methods.values():
            assert operation.get("description", "") in text
            assert operation.get("requestBody", {}).get("description", "") in text
    assert "min_score" in text and "Reading openapi.json" not in text
