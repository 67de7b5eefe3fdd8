"""The example of a report: complete, small, of drawn people only, and made by a command that still works."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.example_report import EXAMPLE, ROOT, command, draw_people
from training.cli import app
from training.evaluation.report import Report

REPORT, SHEET, JSON = (ROOT / EXAMPLE / name for name in ("report.html", "sheet.html", "report.json"))


def test_the_example_is_small_and_names_what_it_shows() -> None:
    assert sum(path.stat().st_size for path in (ROOT / EXAMPLE).iterdir()) < 300_000
    report = Report.load(JSON)
    assert report.protocol.name == "MLR-drawn-people all" and report.calibration
    for page in (REPORT, SHEET):
        text = page.read_text(encoding="utf-8")
        assert report.protocol.digest[:16] in text
        assert not re.search(
            r'(src|href)="(?!data:)|<script|/home|/root|/tmp', text
        )  # nothing beside the file
    assert SHEET.read_text(encoding="utf-8").count('class="probe"') == 6


def test_readme_links_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (REPORT, SHEET):
        assert f"({page.relative_to(ROOT)})" in readme
    assert "-m tests.support.example_report" in readme


def test_its_command_works(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_people(tmp_path / "drawn", 12)
    words = command(tmp_path / "drawn", tmp_path / "example")
    words[words.index("--bundle") + 1] = str(tiny_bundle)
    words[words.index("--far") + 1] = "0.5"  # twelve people make few pairs
    result = CliRunner().invoke(app, [*words, "--provider", "cpu"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "example").iterdir()} == {
        path.name for path in (REPORT, SHEET, JSON)
    }
