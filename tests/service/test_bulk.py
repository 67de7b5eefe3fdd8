"""`dgrl enrol`: folders and tables, a result for each image, again and again without doing anything twice."""

import csv
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.bulk import Bulk
from service.bulk_source import items_of
from service.cli import app
from service.client import Client
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person

Run = Callable[..., Result]


@pytest.fixture
def run(client: httpx.Client, live: Live) -> Run:
    """On an empty gallery."""
    runner = CliRunner(env={"DGRL_URL": live.url})
    return lambda *arguments: runner.invoke(app, ["enrol", *map(str, arguments)])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for number in range(3):
        for variant in range(2):
            draw(tmp_path / "people" / f"person {number}" / f"{variant}.png", number, variant)
    return tmp_path / "people"


def draw(path: Path, seed: int, variant: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(person(seed, variant=variant)))
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_resumes_and_reports(client: httpx.Client, run: Run, people: Path, tmp_path: Path) -> None:
    assert (
        "6 enrolled" in (first := run(people).stdout) and "6 images sent in" in first and "images/s" in first
    )
    draw(people / "person 1" / "new.png", 1, 9)
    again = run(people, "--parallel", 1)
    assert "6 already there, 1 enrolled" in again.stdout and "1 images sent" in again.stdout
    (people / "person 1" / "bad.png").write_bytes(b"no picture")
    third = run(people, "--results", tmp_path / "results.csv")
    assert third.exit_code == 1 and "1 rejected" in third.stdout and "person 1/bad.png" in third.stderr
    assert [i["images"] for i in client.get("/gallery").json()["identities"]] == [2, 3, 2]
    rows = read(tmp_path / "results.csv")
    assert [row["status"] for row in rows] == [*["already there"] * 4, "rejected", *["already there"] * 3]
    assert "not a JPEG" in rows[4]["detail"] and rows[4]["path"].endswith("bad.png")
    stored = {i["image_id"] for i in client.get("/gallery/person 0").json()["images"]}
    assert {row["image_id"] for row in rows[:2]} == stored


def test_a_folder_without_people_is_an_error_that_says_what_one_holds(run: Run, people: Path) -> None:
    done = run(people / "person 0")
    assert done.exit_code == 2 and "no images in " in done.stderr and "IDENTITY/*.jpg" in done.stderr


def test_it_says_what_it_leaves_out(run: Run, people: Path) -> None:
    draw(people / "loose.png", 7)
    (people / "person 0" / "notes.txt").write_text("tall")
    (people / "person 0" / ".DS_Store").write_bytes(b"")
    said = run(people)
    assert (
        "6 images of 3 identities" in said.stderr
        and f"left out: 2 other files, {people / 'loose.png'}" in said.stderr
    )
    (people / "loose.png").unlink()
    (people / "person 0" / "notes.txt").unlink()
    assert "left out" not in run(people).stderr


def test_poor_pictures_are_enrolled_and_told_of(run: Run, tmp_path: Path) -> None:
    for name, image in (("sharp", person(1)), ("tiny", low_resolution(person(1), 4))):
        path = tmp_path / "people" / "ann" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    said = run(tmp_path / "people", "--results", tmp_path / "results.csv")
    assert "2 enrolled" in said.stdout and "flagged: 1 low" in said.stdout
    sharp, tiny = read(tmp_path / "results.csv")
    assert "low" not in sharp["flags"].split() and "low" in tiny["flags"].split()


def test_it_says_of_how_many_identities_the_images_are(run: Run, people: Path) -> None:
    assert "6 images of 3 identities" in run(people).stderr
    assert "6 images of 1 identities" in run(people.parent).stderr


def test_results_that_cannot_be_written_are_one_sentence(run: Run, people: Path, tmp_path: Path) -> None:
    done = run(people, "--results", tmp_path / "absent" / "results.csv")
    assert done.exit_code == 2 and "absent/results.csv: No such file or directory" in done.stderr


def test_a_run_that_cannot_begin_leaves_earlier_results(people: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    results.write_text("earlier")
    words = ["enrol", str(people), "--results", str(results), "--url", "http://127.0.0.1:9"]
    assert CliRunner().invoke(app, words).exit_code == 2
    assert results.read_text() == "earlier"


def test_folders_of_cameras(client: httpx.Client, run: Run, tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "\u00e9lise")  # as some file systems write it
    draw(tmp_path / name / "door" / "1.jpg", 1)
    draw(tmp_path / name / "2.jpg", 1, 1)
    (tmp_path / name / "notes.txt").touch()
    assert "2 enrolled" in run(tmp_path, "--camera", "yard").stdout
    images = client.get("/gallery/\u00e9lise").json()["images"]
    assert {image["filename"]: image["camera"] for image in images} == {"1.jpg": "door", "2.jpg": "yard"}
    assert "2 already there" in run(tmp_path).stdout


def test_a_table(client: httpx.Client, run: Run, tmp_path: Path) -> None:
    draw(tmp_path / "crops" / "a.png", 1)
    draw(tmp_path / "crops" / "b.png", 2)
    table = tmp_path / "people.csv"
    table.write_text(
        "path,identity,camera,captured_at,metadata\n"
        'crops/a.png,anna,door,2026-03-01T10:00:00Z,"{""run"": 3}"\n'
        "crops/b.png,ben,,,\n"
        "crops/b.png,ben,,,\n"
        "crops/c.png,ben,,,\n"
        "crops/a.png,ben,,yesterday,\n"
    )
    done = run(table, "--results", tmp_path / "results.csv", "--camera", "yard")
    assert done.exit_code == 1
    rows = read(tmp_path / "results.csv")
    assert [row["status"] for row in rows] == ["enrolled", "enrolled", "duplicate", "rejected", "rejected"]
    assert "No such file" in rows[3]["detail"] and "captured_at" in rows[4]["detail"]
    [anna] = client.get("/gallery/anna").json()["images"]
    assert (anna["camera"], anna["metadata"]) == ("door", {"run": 3}) and anna["captured_at"]
    assert client.get("/gallery/ben").json()["images"][0]["camera"] == "yard"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must name the columns path and identity"),
        ("path,person\n", "must name the columns path and identity"),
        ("path,identity,camra\n", "and may name camera, captured_at, metadata"),
        ("path,identity\na.png\n", "line 2 lacks"),
        ("path,identity\na.png,b,c\n", "line 2 lacks a path or an identity, or is too long"),
        ("path,identity\n\udcff,b\n", "not a CSV in UTF-8"),
    ],
)
def test_a_wrong_table_is_one_sentence(run: Run, tmp_path: Path, text: str, sentence: str) -> None:
    table = tmp_path / "people.csv"
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    done = run(table)
    assert done.exit_code == 2 and sentence in done.stderr and "people.csv" in done.stderr


def test_a_service_with_narrow_limits_is_not_overrun(serve: Callable[..., Live], tmp_path: Path) -> None:
    live = serve(queue_images=3, max_images=3, max_body_bytes=64 * 1024)
    for number in range(4):
        for variant in range(5):
            draw(tmp_path / f"p{number}" / f"{variant}.png", number, variant)
    (tmp_path / "p3" / "large.png").write_bytes(os.urandom(80_000))
    runner = CliRunner(env={"DGRL_URL": live.url})
    done = runner.invoke(app, ["enrol", str(tmp_path), "--parallel", "3"])
    assert "20 enrolled, 1 rejected" in done.stdout, done.output
    assert "more than 65,536 bytes" in done.stderr and live.services.gallery.count().images == 20


def test_a_refusal_of_everything_ends_it(serve: Callable[..., Live], people: Path) -> None:
    live = serve(auth="keys")
    done = CliRunner(env={"DGRL_URL": live.url}).invoke(app, ["enrol", str(people)])
    assert done.exit_code == 2 and "401" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="names that are no text")
def test_names_that_are_no_text(client: httpx.Client, live: Live, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    draw(tmp_path / "anna" / f"{odd}.png", 1)
    draw(tmp_path / odd / "1.png", 2)
    with Client(live.url) as mine:
        found = list(Bulk(mine, 2).enrol(items_of(tmp_path)))
    assert [outcome.status for outcome in found] == ["enrolled", "rejected"]
    assert client.get("/gallery/anna").json()["images"][0]["filename"] == "??.png"
