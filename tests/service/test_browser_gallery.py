"""The gallery's part of the page in a real browser: pages, pictures, renaming, merging and deleting."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from service.keys import Scope
from tests.service.conftest import Enrol
from tests.service.test_browser import loaded, says
from tests.support.live import Live
from tests.support.pictures import encoded, person

if TYPE_CHECKING:
    from playwright.sync_api import Page


def shown(page: "Page") -> list[str]:
    return page.locator("#identities summary b").all_inner_texts()


def unfold(page: "Page", identity: str) -> None:
    page.locator("#identities summary", has_text=identity).click()
    page.wait_for_selector("#identities details[open] img")


def answer(page: "Page", button: str) -> None:
    page.click(f"#ask button:text-is('{button}')")
    page.locator("#ask").wait_for(state="hidden")


def test_the_gallery_is_browsed_page_by_page(live: Live, enrol: Enrol, page: "Page") -> None:
    names = [f"person-{number:02}" for number in range(45)]
    for seed, name in enumerate([*names, "zoe"]):
        enrol(name, (seed,))
    page.goto(live.url)
    says(page, "#identities", "person-00")
    assert shown(page) == names[:20] and page.locator("#previous").is_hidden()
    page.click("#next")
    says(page, "#gallery-message", "Page 2")
    assert shown(page) == names[20:40]
    assert page.evaluate("document.activeElement.id") == "gallery"
    page.click("#next")
    says(page, "#gallery-message", "Page 3")
    assert shown(page) == [*names[40:], "zoe"] and page.locator("#next").is_hidden()
    page.click("#previous")
    page.click("#previous")
    says(page, "#gallery-message", "Page 1")
    assert shown(page) == names[:20]
    page.fill("#browse input", "z")
    page.click("#browse button")
    says(page, "#identities", "zoe")
    assert shown(page) == ["zoe"] and page.locator("#next").is_hidden()
    page.fill("#browse input", "nobody")
    page.keyboard.press("Enter")
    says(page, "#identities", "No identity starts with nobody.")


def test_an_identity_shows_its_pictures_page_by_page(live: Live, enrol: Enrol, page: "Page") -> None:
    enrol("anna", tuple(range(30)), camera="yard", captured_at="2026-03-01T10:00:00Z")
    page.goto(live.url)
    unfold(page, "anna")
    assert page.locator("#identities img").count() == 24
    assert loaded(page, "#identities li li:first-child img") == [(32, 64)]
    says(page, "#identities li li:first-child", "0.png, yard, ")
    page.click("#identities button:text-is('More images')")
    page.locator("#identities li li:nth-child(30) img").wait_for()
    assert page.locator("#identities button:text-is('More images')").is_hidden()


def test_an_identity_is_renamed_or_left_as_it_is(
    client: httpx.Client, live: Live, enrol: Enrol, page: "Page"
) -> None:
    enrol("anna", (1,))
    page.goto(live.url)
    unfold(page, "anna")
    rename = page.locator("#identities button", has_text="Rename")
    rename.click()
    page.fill("#ask input", "berta")
    answer(page, "Cancel")
    rename.click()
    page.fill("#ask input", "berta")
    page.keyboard.press("Escape")
    page.locator("#ask").wait_for(state="hidden")
    assert client.get("/gallery/anna").status_code == 200
    rename.click()
    assert page.input_value("#ask input") == "anna"  # and not what was entered before
    page.fill("#ask input", "berta/1")
    page.keyboard.press("Enter")
    says(page, "#gallery-message", "anna is now berta/1.")
    assert shown(page) == ["berta/1"] and client.get("/gallery/anna").status_code == 404
    unfold(page, "berta/1")
    rename.click()
    page.fill("#ask input", "..")
    page.click("#ask button:text-is('Rename')")
    says(page, "#gallery-message.bad", "must not be '.' or '..', which cannot be part of an address")


def test_two_identities_become_one_only_after_a_warning(
    client: httpx.Client, live: Live, enrol: Enrol, page: "Page"
) -> None:
    enrol("anna", (1,))
    enrol("ben", (2,))
    page.goto(live.url)
    unfold(page, "anna")
    for button in ("Cancel", "Merge"):
        page.locator("#identities button", has_text="Rename").click()
        page.fill("#ask input", "ben")
        page.click("#ask button:text-is('Rename')")
        says(page, "#ask h2", "ben exists already")
        assert len(client.get("/gallery").json()["identities"]) == 2
        answer(page, button)
    says(page, "#gallery-message", "anna is now ben.")
    assert len(client.get("/gallery/ben").json()["images"]) == 2


def test_deletion_asks_and_cancel_is_the_first_choice(
    client: httpx.Client, live: Live, enrol: Enrol, page: "Page"
) -> None:
    enrol("anna", (1, 2))
    page.goto(live.url)
    unfold(page, "anna")
    page.click("#identities [aria-label='Delete 1.png …']")
    says(page, "#ask h2", "Delete 1.png of anna?")
    page.keyboard.press("Enter")
    page.locator("#ask").wait_for(state="hidden")
    assert len(client.get("/gallery/anna").json()["images"]) == 2
    page.click("#identities [aria-label='Delete 1.png …']")
    answer(page, "Delete")
    says(page, "#gallery-message", "1.png of anna was deleted.")
    says(page, "#status", "1 identity, 1 image")
    assert [image["filename"] for image in client.get("/gallery/anna").json()["images"]] == ["2.png"]
    unfold(page, "anna")
    page.click("#identities button:text-is('Delete …') >> nth=0")
    says(page, "#ask p", "1 image and its vector will be erased. This cannot be undone.")
    answer(page, "Delete")
    says(page, "#gallery-message", "anna was deleted.")
    says(page, "#identities", "The gallery is empty.")
    assert client.get("/gallery").json()["identities"] == []


def test_the_last_one_of_a_page_leads_back_to_the_page_before(live: Live, enrol: Enrol, page: "Page") -> None:
    for seed in range(21):
        enrol(f"person-{seed:02}", (seed,))
    page.goto(live.url)
    page.click("#next")
    says(page, "#gallery-message", "Page 2")
    unfold(page, "person-20")
    page.click("#identities button:text-is('Delete …') >> nth=0")
    answer(page, "Delete")
    says(page, "#identities", "person-00")
    assert len(shown(page)) == 20 and page.locator("#next").is_hidden()


@pytest.mark.parametrize("action", ["Rename", "Delete"])
def test_a_key_that_may_only_read_is_told_so(serve: Callable[..., Live], page: "Page", action: str) -> None:
    live = serve(auth="keys")
    store = live.services.gate._store
    owner, reader = store.create("owner", Scope.ADMIN), store.create("reader", Scope.READ)
    with live.client(owner) as client:
        client.post("/gallery", data={"identity": "anna"}, files={"images": encoded(person(1))})
    page.goto(live.url)
    page.fill("#key input", reader)
    page.click("#key button")
    unfold(page, "anna")
    page.click(f"#identities button:text-is('{action} …') >> nth=0")
    if action == "Rename":
        page.fill("#ask input", "berta")
    answer(page, action)
    says(page, "#gallery-message.bad", "this needs a key with scope admin; this key has read")


def test_a_gallery_without_pictures_is_still_browsed(serve: Callable[..., Live], page: "Page") -> None:
    live = serve(keep_images=False)
    with live.client() as client:
        client.post("/gallery", data={"identity": "anna"}, files={"images": encoded(person(1))})
    page.goto(live.url)
    page.locator("#identities summary", has_text="anna").click()
    page.wait_for_selector("#identities img.gone", state="attached")
    assert page.locator("#identities button", has_text="Delete").count() == 2
