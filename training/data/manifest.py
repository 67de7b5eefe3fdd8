"""A manifest: which images are probes and gallery under one protocol, and each image's down-sampling factor.

The factor comes from a hash of (seed, relative path), so it depends neither on order nor on the rest of
the set. On disk it is JSON lines: a header, then one line per image. Its digest names it in reports.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from training.data.records import DISTRACTOR, Dataset, DatasetError, Record, Split

FORMAT = 1
RUN_MANIFEST = "manifest.jsonl"  # what a training run worked on, in the run's folder
NATIVE = 1  # the factor of an image that is left as it is
FACTORS = (2, 3, 4)


@dataclass(frozen=True, slots=True)
class Entry:
    file: str
    identity: int
    camera: int
    r: int
    split: Split
    sha256: str


@dataclass(frozen=True)
class Manifest:
    dataset: str
    protocol: str
    seed: int
    entries: tuple[Entry, ...]  # ordered by file

    @property
    def name(self) -> str:
        """As the literature has it: MLR (multiple low resolutions) where images were made low."""
        return f"{'' if self.protocol == 'native' else 'MLR-'}{self.dataset} {self.protocol}"

    @cached_property
    def digest(self) -> str:
        """The sha256 of the content: header and entries in order."""
        lines = [json.dumps(_header(self), sort_keys=True), *map(_line, self.entries)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def has_native_pairs(self) -> bool:
        """Whether one camera's training images are low by nature, and none was made low (CAVIAR)."""
        return bool(self.of("train")) and all(entry.r == NATIVE for entry in self.of("train"))

    def of(self, split: Split) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.split == split)


def factor(seed: int, relative_path: str, factors: Sequence[int] = FACTORS) -> int:
    digest = hashlib.sha256(f"{seed}\n{relative_path}".encode()).digest()
    return factors[int.from_bytes(digest[:8], "big") % len(factors)]


def build_manifest(dataset: Dataset, protocol: str, seed: int) -> Manifest:
    """Draw the factors and hash every file.

    Training images and probes are made low and the gallery is not. In the protocol `native` the probes are
    not either, nor are the training images of a set that has a camera of low resolution.
    """
    if protocol not in PROTOCOLS:
        raise DatasetError(f"unknown protocol {protocol!r}; known are {', '.join(PROTOCOLS)}")
    records = sorted(PROTOCOLS[protocol](dataset), key=lambda record: (record.path, record.split))
    hashes = _hashes(dataset.root, [record.path for record in records])
    left = {"gallery"} | ({"probe"} if protocol == "native" else set())
    if protocol == "native" and dataset.low_camera is not None:
        left.add("train")
    entries = (
        Entry(
            file=record.path,
            identity=record.identity,
            camera=record.camera,
            r=NATIVE if record.split in left else factor(seed, record.path),
            split=record.split,
            sha256=sha256,
        )
        for record, sha256 in zip(records, hashes, strict=True)
    )
    return Manifest(dataset.name, protocol, seed, tuple(entries))


def write_manifest(manifest: Manifest, path: Path) -> None:
    header = {**_header(manifest), "digest": manifest.digest}
    lines = [json.dumps(header, sort_keys=True), *map(_line, manifest.entries)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Raises DatasetError if the file is damaged or was edited."""
    try:
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        header: dict[str, Any] = json.loads(first)
        entries = tuple(Entry(**json.loads(line)) for line in rest)
        manifest = Manifest(header["dataset"], header["protocol"], header["seed"], entries)
        intact = header["digest"] == manifest.digest
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a manifest ({error})") from error
    if not intact:
        raise DatasetError(f"{path}: the entries do not match the digest in the header; the file was changed")
    return manifest


def verify_manifest(manifest: Manifest, root: Path) -> None:
    """Check every file under `root` against its hash; raises DatasetError naming the first that differs."""
    hashes = _hashes(root, [entry.file for entry in manifest.entries])
    for entry, found in zip(manifest.entries, hashes, strict=True):
        if entry.sha256 != found:
            raise DatasetError(f"{root / entry.file}: differs from the image that {manifest.name} names")


def _official(dataset: Dataset) -> Iterable[Record]:
    """`all` and `native`: the dataset's own probes and gallery."""
    return dataset.records


def _camera_one(dataset: Dataset) -> Iterable[Record]:
    """`c1`: of official probes and gallery together, camera 1 gives the probes and the others the gallery.

    Junk and distractors of camera 1 show nobody who could be found, and are left out.
    """
    for record in dataset.records:
        if record.split == "train":
            yield record
        elif record.camera != 1:
            yield replace(record, split="gallery")
        elif record.identity > DISTRACTOR:
            yield replace(record, split="probe")


PROTOCOLS: dict[str, Callable[[Dataset], Iterable[Record]]] = {
    "all": _official,
    "c1": _camera_one,
    "native": _official,
}


def _header(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "dataset": manifest.dataset,
        "protocol": manifest.protocol,
        "seed": manifest.seed,
        "images": len(manifest.entries),
    }


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry), sort_keys=True)


def _hashes(root: Path, files: Sequence[str]) -> list[str]:
    def sha256(file: str) -> str:
        try:
            return hashlib.sha256((root / file).read_bytes()).hexdigest()
        except OSError as error:
            raise DatasetError(f"{root / file}: cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(sha256, files))
