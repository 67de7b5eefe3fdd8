"""The commands on synthetic people: what they print, write and refuse."""

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from model.bundle.runtime import Bundle
from tests.training.lookalike import make_market1501, save
from training.data.manifest import read_manifest
from training.evaluation.average import average
from training.evaluation.command import calibrate, evaluate
from training.evaluation.report import Report

app = typer.Typer()
app.command("evaluate")(evaluate)
app.command("calibrate")(calibrate)
app.command("average")(average)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160", "TERM": "dumb"})
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market1501(tmp_path_factory.mktemp("market"), test=45)


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def test_a_rate_without_support_does_not_cost_the_report(market: Path, bundle: Path, tmp_path: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    said = refused(
        *("evaluate", market, "--bundle", bundle, "--no-strict-counts", "--provider", "cpu", "--calibration"),
        *("--far", "0.0001", "--into-bundle", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html"),
    )
    assert "Rank-1" in said and "no calibration, and nothing put into a bundle" in said
    assert "cannot support a false-accept rate of 0.0001" in said
    report = Report.load(tmp_path / "r.json")
    assert report.lines and not report.calibration
    assert "Rank-1" in (tmp_path / "r.html").read_text()
    assert (bundle / "manifest.json").read_bytes() == before


def test_evaluate_reports_and_puts_its_results_into_the_bundle(
    market: Path, bundle: Path, tmp_path: Path
) -> None:
    output = run(
        *("evaluate", market, "--bundle", bundle, "--no-strict-counts", "--provider", "cpu"),
        *("--scorer", "market1501", "--scorer", "single_shot", "--calibration", "--far", "0.05"),
        *("--manifest", tmp_path / "m.jsonl", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html"),
        *("--sheet", tmp_path / "sheet.html", "--into-bundle"),
    )
    manifest = read_manifest(tmp_path / "m.jsonl")
    assert f"manifest {manifest.digest[:16]}" in output
    assert "market1501" in output and "single_shot(repeats=10, seed=0)" in output
    assert "bundle, bilinear instead of RCAN" in output and "Calibration" in output

    report = Report.load(tmp_path / "r.json")
    assert report.protocol.digest == manifest.digest
    assert report.measured[0].identity == Bundle.load(bundle).manifest.bundle_id
    assert report.measured[0].provider == "cpu"
    assert Bundle.load(bundle).manifest.evaluation == report.results
    assert Bundle.load(bundle).manifest.calibration == report.calibration
    assert len(report.calibration) == 4
    kinds = [(line.result.scorer[:6], line.result.variant, line.result.subset) for line in report.lines]
    assert len(kinds) == len(set(kinds)) == 2 * 3 * 4

    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert manifest.digest in page and "<img" not in page and "http" not in re.sub("<svg.*?</svg>", "", page)
    charts = re.findall("<svg.*?</svg>", page)
    assert len(charts) == 4 + 4 + 1
    for chart in charts:
        assert "nan" not in chart
        ElementTree.fromstring(chart)
    sheet = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert sheet.count('class="probe"') == 40 and 'class="match"' in sheet


def test_an_existing_manifest_is_used_and_checked(market: Path, bundle: Path, tmp_path: Path) -> None:
    root = shutil.copytree(market, tmp_path / "market")
    common = ("evaluate", root, "--bundle", bundle, "--provider", "cpu", "--variant", "bilinear")
    first = run(*common, "--no-strict-counts", "--manifest", tmp_path / "m.jsonl", "--seed", 5)
    again = run(*common, "--manifest", tmp_path / "m.jsonl")  # counts and seed come from the file

    def figures(text: str) -> list[str]:
        return [line for line in text.splitlines() if "│" in line]

    assert "seed 5" in again and figures(first) == figures(again)
    save(root / "query/0005_c2s1_000001_00.jpg", 77, 2)
    assert "0005_c2s1_000001_00.jpg: differs" in refused(*common, "--manifest", tmp_path / "m.jsonl")


def test_calibrate_writes_into_the_bundle(market: Path, bundle: Path) -> None:
    before = Bundle.load(bundle).manifest
    common = ("calibrate", market, "--bundle", bundle, "--no-strict-counts", "--provider", "cpu")
    message = refused(*common)
    assert re.search(r"probes of \d+-\d+ px: [\d,]+ impostor pairs cannot support", message)
    assert Bundle.load(bundle).manifest == before
    run(*common, "--far", "0.05", "--far", "0.1")
    after = Bundle.load(bundle).manifest
    assert after.bundle_id == before.bundle_id
    assert [(b.min_height, b.max_height) for b in after.calibration] == [
        (13, 19),
        (19, 26),
        (26, 46),
        (46, None),
    ]
    assert [t.far for t in after.calibration[0].thresholds] == [0.05, 0.1]


def test_flip_and_re_ranking_are_named(market: Path, bundle: Path, tmp_path: Path) -> None:
    arguments = ("--bundle", bundle, "--provider", "cpu", "--variant", "bilinear", "--no-strict-counts")
    run("evaluate", market, *arguments, "--flip", "--rerank", "--json", tmp_path / "r.json")
    [variant] = {line.result.variant for line in Report.load(tmp_path / "r.json").lines}
    assert variant == "bundle with flip, bilinear instead of RCAN, re-ranked"


def test_reports_of_several_splits_are_averaged(market: Path, bundle: Path, tmp_path: Path) -> None:
    common = ("evaluate", market, "--bundle", bundle, "--provider", "cpu", "--no-strict-counts")
    files = [tmp_path / f"{seed}.json" for seed in (0, 1)]
    for seed, file in enumerate(files):
        run(*common, "--variant", "bilinear", "--seed", seed, "--json", file)
    output = run("average", *files, "--json", tmp_path / "mean.json")
    assert "mean of 2 reports" in output and "±" in output
    mean = Report.load(tmp_path / "mean.json")
    one, two = (Report.load(file).lines[0].result for file in files)
    assert mean.lines[0].result.map == pytest.approx((one.map + two.map) / 2)
    assert mean.lines[0].result.probes == one.probes + two.probes
    assert "only one report" in refused("average", files[0])
    (tmp_path / "text.json").write_text("{}")
    assert "text.json: not a report" in refused("average", files[0], tmp_path / "text.json")
    run(*common, "--variant", "sharp", "--json", tmp_path / "other.json")
    assert "other.json: its rows are not those of" in refused("average", files[0], tmp_path / "other.json")


def test_a_folder_of_one_s_own(bundle: Path, tmp_path: Path) -> None:
    for person in ("anna", "ben", "chloé"):
        for camera, height in (("door", 64), ("street", 20)):
            save(
                tmp_path / f"own/{person}/{camera}/1.png",
                len(person),
                len(camera),
                height=height,
                width=height // 2,
            )
    output = run("evaluate", tmp_path / "own", "--dataset", "own", "--bundle", bundle, "--provider", "cpu")
    assert "own native: 6 probes, 6 gallery images" in output
    assert "height 16-31" in output and "height 64-127" in output


def test_one_s_own_images_calibrate(bundle: Path, tmp_path: Path) -> None:
    for person in range(40):
        for camera, height in ((1, 64), (2, 20)):
            save(tmp_path / f"own/{person}/{camera}/1.png", person, camera, height=height, width=height // 2)
    arguments = ("--dataset", "own", "--bundle", bundle, "--provider", "cpu", "--far", "0.1")
    run("calibrate", tmp_path / "own", *arguments, "--html", tmp_path / "r.html")
    buckets = Bundle.load(bundle).manifest.calibration
    assert [(b.min_height, b.max_height, b.genuine_pairs) for b in buckets] == [(19, 26, 40), (46, None, 40)]
    assert "Probes of 19-25 px" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "nowhere", "--bundle", "BUNDLE"], "nowhere: no such folder"),
        (["evaluate", "MARKET"], "nothing to evaluate"),
        (["evaluate", "MARKET", "--bundle", "BUNDLE"], "12,936"),
        (["evaluate", "MARKET", "--bundle", "MARKET", "--no-strict-counts"], "no bundle in"),
        (["evaluate", "MARKET", "--checkpoint", "x.safetensors", "--no-strict-counts"], "needs --rcan"),
        (["evaluate", "MARKET", "--bundle", "BUNDLE", "--flip", "--into-bundle"], "those without --flip"),
        (
            ["evaluate", "MARKET", "--bundle", "BUNDLE", "--protocol", "c9", "--no-strict-counts"],
            "all, c1, native",
        ),
        (["evaluate", "MARKET", "--baseline", "x.safetensors", "--no-strict-counts"], "x.safetensors"),
    ],
)
def test_mistakes_are_one_sentence(
    market: Path, tiny_bundle: Path, arguments: list[str], message: str
) -> None:
    places = {"MARKET": str(market), "BUNDLE": str(tiny_bundle)}
    assert message in refused(*(places.get(argument, argument) for argument in arguments))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--far", "0"], "a false-accept rate lies between 0 and 1"),
        (["--far", "0.01", "--far", "10"], "such as 0.001; not 10"),
        (["--repeats", "0"], "--repeats"),
        (["--seed", "-1"], "--seed"),
        (["--split", "-1"], "--split"),
        (["--rerank", "--sheet", "s.html"], "leave out --rerank or --sheet"),
    ],
)
def test_an_option_that_cannot_be_is_refused_at_once(
    words: list[str], sentence: str, tiny_bundle: Path
) -> None:
    assert sentence in refused("evaluate", "absent", "--bundle", tiny_bundle, *words)


def test_what_is_no_resnet_is_refused_in_a_sentence(market: Path, tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "w.safetensors")
    words = ["--baseline", tmp_path / "w.safetensors", "--no-strict-counts", "--device", "cpu"]
    assert "w.safetensors: not a ResNet-50" in " ".join(refused("evaluate", market, *words).split())
