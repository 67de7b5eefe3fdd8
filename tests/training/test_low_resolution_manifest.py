import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.manifest import (
    build_manifest,
    factor,
    read_manifest,
    verify_manifest,
    write_manifest,
)
from training.data.records import Dataset, DatasetError, Record


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    records = (
        Record("train/a.jpg", 1, 1, "train"),
        Record("query/b.jpg", 2, 1, "probe"),
        Record("query/é.jpg", 2, 3, "probe"),
        Record("test/c.jpg", 2, 2, "gallery"),
        Record("test/d.jpg", 2, 1, "gallery"),
        Record("test/junk.jpg", -1, 1, "gallery"),
        Record("test/distractor.jpg", 0, 2, "gallery"),
    )
    for record in records:
        (tmp_path / record.path).parent.mkdir(exist_ok=True)
        (tmp_path / record.path).write_bytes(record.path.encode())
    return Dataset("Toy", tmp_path, records)


def test_factors_are_pinned_and_even() -> None:
    # These values are part of every published figure: they may never change.
    assert [factor(0, f"query/{n}.jpg") for n in range(8)] == [2, 2, 4, 3, 3, 3, 3, 4]
    counts = Counter(factor(5, f"{n:05d}.jpg") for n in range(6000))
    assert set(counts) == {2, 3, 4} and min(counts.values()) > 1850
    assert any(factor(0, name) != factor(1, name) for name in "abcdefgh")


def test_a_factor_depends_on_nothing_but_seed_and_path(dataset: Dataset) -> None:
    shuffled = list(dataset.records)
    random.Random(0).shuffle(shuffled)
    other = replace(dataset, records=tuple(shuffled))
    assert build_manifest(other, "all", 3).digest == build_manifest(dataset, "all", 3).digest
    fewer = replace(dataset, records=dataset.records[:2])
    factors = {entry.file: entry.r for entry in build_manifest(dataset, "all", 3).entries}
    assert all(factors[entry.file] == entry.r for entry in build_manifest(fewer, "all", 3).entries)


def test_the_gallery_stays_native_and_the_rest_is_made_low(dataset: Dataset) -> None:
    manifest = build_manifest(dataset, "all", 0)
    assert manifest.name == "MLR-Toy all"
    assert {entry.r for entry in manifest.of("gallery")} == {1}
    assert all(e.r == factor(0, e.file) for split in ("train", "probe") for e in manifest.of(split))


def test_c1_makes_camera_one_the_probes_and_the_others_the_gallery(dataset: Dataset) -> None:
    manifest = build_manifest(dataset, "c1", 0)
    assert [entry.file for entry in manifest.of("probe")] == ["query/b.jpg", "test/d.jpg"]
    assert [entry.file for entry in manifest.of("gallery")] == [
        "query/é.jpg",
        "test/c.jpg",
        "test/distractor.jpg",
    ]
    assert [entry.file for entry in manifest.of("train")] == ["train/a.jpg"]
    with pytest.raises(ValueError, match="known are all, c1, native"):
        build_manifest(dataset, "c2", 0)


def test_native_probes_stay_as_they_are(dataset: Dataset) -> None:
    manifest = build_manifest(dataset, "native", 0)
    assert manifest.name == "Toy native"
    assert {entry.r for entry in (*manifest.of("probe"), *manifest.of("gallery"))} == {1}
    assert {entry.r for entry in manifest.of("train")} <= {2, 3, 4} and not manifest.has_native_pairs
    paired = build_manifest(replace(dataset, low_camera=2), "native", 0)
    assert {entry.r for entry in paired.entries} == {1} and paired.has_native_pairs


def test_digest_names_the_content(dataset: Dataset) -> None:
    manifest = build_manifest(dataset, "all", 0)
    assert manifest.digest != build_manifest(dataset, "all", 1).digest
    assert manifest.digest != build_manifest(dataset, "c1", 0).digest
    (dataset.root / "test/c.jpg").write_bytes(b"other pixels")
    assert manifest.digest != build_manifest(dataset, "all", 0).digest


def test_a_written_manifest_reads_back(dataset: Dataset, tmp_path: Path) -> None:
    manifest = build_manifest(dataset, "all", 0)
    write_manifest(manifest, tmp_path / "m.jsonl")
    assert read_manifest(tmp_path / "m.jsonl") == manifest


def test_damaged_manifests_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(build_manifest(dataset, "all", 0), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[1])
    for damaged, message in [
        (lines[:-1], "was changed"),
        ([lines[0], json.dumps({**entry, "r": 7}), *lines[2:]], "was changed"),
        ([lines[0], lines[1][:-9]], "not a manifest"),
        (lines[1:], "not a manifest"),
        ([], "not a manifest"),
    ]:
        path.write_text("\n".join(damaged), encoding="utf-8")
        with pytest.raises(DatasetError, match=message):
            read_manifest(path)


def test_verify_names_the_file_that_differs(dataset: Dataset) -> None:
    manifest = build_manifest(dataset, "all", 0)
    verify_manifest(manifest, dataset.root)
    (dataset.root / "test/c.jpg").write_bytes(b"other pixels")
    with pytest.raises(DatasetError, match=r"test/c\.jpg: differs"):
        verify_manifest(manifest, dataset.root)
    (dataset.root / "test/c.jpg").unlink()
    with pytest.raises(DatasetError, match=r"test/c\.jpg: cannot be read"):
        verify_manifest(manifest, dataset.root)
