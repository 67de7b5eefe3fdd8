"""`dgrl-train export` says in one sentence what is wrong, writes nothing and exits with status 1."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model.config import RCANConfig
from model.dgrl import DGRL
from model.rcan import RCAN
from model.weights import save_weights
from tests.support.tiny_networks import TINY_MODEL, TINY_RCAN, tiny_crops
from training.export.command import export

RECORD = '{"data": "d", "terms": "t", "recipe": "r", "started_from": "s", "device": "cpu"}'


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    save_weights(folder / "dgrl.safetensors", DGRL(TINY_MODEL))
    save_weights(folder / "rcan.safetensors", RCAN(TINY_RCAN))
    (folder / "record.json").write_text(RECORD)
    (folder / "crops").mkdir()
    for i, crop in enumerate(tiny_crops()):
        crop.save(folder / f"crops/{i:02}.png")
    return folder


def run(folder: Path, **changed: str) -> Result:
    app = typer.Typer()
    app.command()(export)
    options = {
        "dgrl": str(folder / "dgrl.safetensors"),
        "rcan": str(folder / "rcan.safetensors"),
        "crops": str(folder / "crops"),
        "record": str(folder / "record.json"),
        "out": str(folder.parent / "out/bundle"),
        **changed,
    }
    return CliRunner().invoke(app, [word for name, value in options.items() for word in (f"--{name}", value)])


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("dgrl", "absent.safetensors", "no such weights file"),
        ("rcan", "dgrl.safetensors", "holds DGRL weights, RCAN was asked for"),
        ("rcan", "crops", "no bundle in"),
        ("record", "crops/00.png", "Invalid JSON"),
        ("out", "crops", "exists already"),
        ("market1501", "crops", "crops"),
    ],
)
def test_a_wrong_input_is_named(inputs: Path, option: str, value: str, sentence: str) -> None:
    result = run(inputs, **{option: str(inputs / value)})
    assert result.exit_code == 1, result.output
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert not (inputs.parent / "out/bundle").exists()


def test_the_hr_reference_is_the_record_s_unless_given(inputs: Path) -> None:
    kept = str(inputs)  # exists already: nothing is exported here
    assert "HR reference: 128x64, the usual one" in run(inputs, out=kept).output
    recorded = RECORD.replace("}", ', "hr_reference": [256, 128]}')
    (inputs / "record.json").write_text(recorded)
    assert "HR reference: 256x128, the record's" in run(inputs, out=kept).output
    app = typer.Typer()
    app.command()(export)
    files = ["dgrl.safetensors", "rcan.safetensors", "crops", "record.json"]
    words = [w for file in files for w in (f"--{file.split('.')[0]}", str(inputs / file))]
    result = CliRunner().invoke(app, [*words, "--out", kept, "--hr-reference", "64", "32"])
    assert "HR reference: 64x32, as asked" in result.output and result.exit_code == 1


def test_too_few_crops_are_refused(inputs: Path) -> None:
    (inputs / "crops/00.png").unlink()
    result = run(inputs)
    assert result.exit_code == 1
    assert "holds 63 images; the parity gate needs 64" in result.output


def test_a_scale_given_twice_is_refused(inputs: Path) -> None:
    save_weights(inputs / "both.safetensors", RCAN(RCANConfig((4,), 1, 1, 8, 4)))
    app = typer.Typer()
    app.command()(export)
    words = ["--dgrl", "dgrl.safetensors", "--rcan", "rcan.safetensors", "--rcan", "both.safetensors"]
    words += ["--crops", "crops", "--record", "record.json", "--out", "new"]
    paths = [word if word.startswith("--") else str(inputs / word) for word in words]
    result = CliRunner().invoke(app, paths)
    assert result.exit_code == 1
    assert "given twice: [4, 4]" in result.output


@pytest.mark.parametrize(
    ("made_by", "given", "sentence"),
    [
        ("none: native low-resolution images", True, "trained without super-resolution (rcan: none: native"),
        ("none: bilinear enlargement", True, "leave out --rcan"),
        ("0123456789abcdef", False, "give --rcan: only a network"),
        (None, False, "(rcan: not said)"),
    ],
)
def test_the_record_says_whether_there_is_super_resolution(
    inputs: Path, made_by: str | None, given: bool, sentence: str
) -> None:
    details = f', "details": {{"rcan": "{made_by}"}}}}' if made_by else "}"
    (inputs / "record.json").write_text(RECORD.replace("}", details))
    app = typer.Typer()
    app.command()(export)
    files = ["dgrl.safetensors", "crops", "record.json", *(["rcan.safetensors"] if given else [])]
    words = [w for file in files for w in (f"--{file.split('.')[0]}", str(inputs / file))]
    result = CliRunner().invoke(app, [*words, "--out", str(inputs / "new")])
    assert result.exit_code == 1 and not (inputs / "new").exists()
    assert sentence in " ".join(result.output.split())
