"""A bundle on disk, verified, and the sessions that run its graphs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.bundle.encoder import Encoder
from model.bundle.manifest import MANIFEST_NAME, Manifest, sha256_of
from model.bundle.preprocessing import Pixels
from model.bundle.routing import Branch
from model.bundle.session import OnnxSession, Precision, Provider

MAX_BATCH = 32  # larger ones run in pieces, so that memory stays bounded


class BundleError(ValueError):
    """The bundle is incomplete, damaged or not a bundle; the message names the file."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose every file has the hash that the manifest gives."""

    path: Path
    manifest: Manifest

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads and verifies; raises BundleError."""
        manifest = _read_manifest(path / MANIFEST_NAME)
        for name, expected in manifest.files.items():
            file = path / name
            if not file.is_file():
                raise BundleError(f"the bundle {path} lacks {name}")
            if sha256_of(file) != expected:
                raise BundleError(
                    f"{name} in the bundle {path} does not match its sha256: damaged or replaced"
                )
        return cls(path, manifest)


def _read_manifest(path: Path) -> Manifest:
    if not path.is_file():
        raise BundleError(f"no bundle in {path.parent}: it has no {path.name}")
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'whole'}: {e['msg']}" for e in error.errors())
        raise BundleError(f"{path} is not a bundle's manifest ({reasons})") from error


class Runtime:
    """Runs a bundle's graphs. Safe to use from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        provider: Provider = Provider.AUTO,
        *,
        threads: int | None = None,
        precision: Precision = Precision.AUTO,
        gpu_memory_limit: int | None = None,
    ) -> None:
        def session(name: str) -> OnnxSession:
            return OnnxSession(
                bundle.path / name,
                provider,
                threads=threads,
                precision=precision,
                gpu_memory_limit=gpu_memory_limit,
            )

        self.manifest = bundle.manifest
        files = bundle.manifest.encoders
        sessions = {name: session(name) for name in sorted(files.files())}
        trunk = None if files.trunk is None else sessions[files.trunk]
        self._encoders: dict[Branch, Encoder] = {
            "hr": Encoder(sessions[files.hr], trunk),
            "sr": Encoder(sessions[files.sr], trunk),
        }
        sessions |= {s.file: session(s.file) for s in bundle.manifest.super_resolution}
        self._resolvers = {s.scale: (s, sessions[s.file]) for s in bundle.manifest.super_resolution}
        self.granted = _agreed({s.granted for s in sessions.values()})
        self.precision = _agreed({s.precision for s in sessions.values()})

    def super_resolve(self, images: Pixels, scale: int) -> Pixels:
        """uint8 (N, h, w, 3) of the scale's native bucket to uint8 (N, h*scale, w*scale, 3)."""
        if scale not in self._resolvers:
            raise ValueError(
                f"the bundle has no super-resolver of scale {scale}; it has: {sorted(self._resolvers)}"
            )
        native, session = self._resolvers[scale]
        _check(images, native.height, native.width)
        if not len(images):
            return np.empty((0, native.height * scale, native.width * scale, 3), np.uint8)
        return np.concatenate([session.run(piece) for piece in _pieces(images)])

    def embed(self, images: Pixels, branch: Branch) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) of the encoder's input size to unit rows (N, dimension)."""
        _check(images, self.manifest.preprocessing.height, self.manifest.preprocessing.width)
        if not len(images):
            return np.empty((0, self.manifest.dimension), np.float32)
        return np.concatenate([self._encoders[branch].run(piece) for piece in _pieces(images)])


def _agreed(stated: set[str]) -> str:
    """One word where all graphs run alike, else all words: `cpu+cuda`."""
    return "+".join(sorted(stated))


def _check(images: Pixels, height: int, width: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, 3):
        raise ValueError(
            f"expected uint8 (N, {height}, {width}, 3), got {images.dtype} {tuple(images.shape)}"
        )


def _pieces(images: Pixels) -> list[Pixels]:
    return [images[start : start + MAX_BATCH] for start in range(0, len(images), MAX_BATCH)]
