"""Made-up people for the gallery tests, and a slow gallery in plain Python and numpy to compare with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from index import Enrolment, Filters, Match
from index.types import Vectors

BUNDLE = "0123456789abcdef"


def unit(rng: np.random.Generator, count: int, dimension: int) -> Vectors:
    rows = rng.standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def one_hot(dimension: int, axis: int = 0) -> Vectors:
    vector = np.zeros(dimension, np.float32)
    vector[axis] = 1
    return vector


@dataclass
class OracleImage:
    identity: str
    enrolment: Enrolment


class Oracle:
    """What a gallery should answer: dictionaries, float64, no index."""

    def __init__(self) -> None:
        self.images: dict[str, OracleImage] = {}  # by image id, in order of enrolment

    def add(self, image_id: str, item: Enrolment) -> None:
        self.images[image_id] = OracleImage(item.identity, item)

    def find(self, identity: str, content_hash: str) -> str | None:
        for image_id, image in self.images.items():
            if (image.identity, image.enrolment.content_hash) == (identity, content_hash):
                return image_id
        return None

    def of(self, identity: str) -> list[str]:
        return [image_id for image_id, image in self.images.items() if image.identity == identity]

    @property
    def identities(self) -> list[str]:
        return sorted({image.identity for image in self.images.values()})

    def remove(self, image_ids: Iterable[str]) -> None:
        for image_id in list(image_ids):
            del self.images[image_id]

    def rename(self, identity: str, new: str) -> int:
        if identity != new:
            own = {self.images[image_id].enrolment.content_hash for image_id in self.of(new)}
            self.remove(i for i in self.of(identity) if self.images[i].enrolment.content_hash in own)
        moved = self.of(identity)
        for image_id in moved:
            self.images[image_id].identity = new
        return len(moved)

    def scores(self, probe: Vectors, filters: Filters) -> dict[str, dict[str, float]]:
        """By identity, the score of each of its images that passes the filters."""
        result: dict[str, dict[str, float]] = {}
        chosen = [(image_id, image) for image_id, image in self.images.items() if passes(filters, image)]
        stored = np.array([image.enrolment.vector for _, image in chosen]).reshape(-1, len(probe))
        scores = stored.astype(np.float16).astype(np.float64) @ probe.astype(np.float64)
        for (image_id, image), score in zip(chosen, scores.clip(-1, 1).tolist(), strict=True):
            result.setdefault(image.identity, {})[image_id] = score
        return result


def passes(filters: Filters, image: OracleImage) -> bool:
    item, metadata = image.enrolment, image.enrolment.metadata or {}
    time = item.captured_at
    missing = object()
    return (
        (filters.cameras is None or item.camera in filters.cameras)
        and item.camera not in filters.exclude_cameras
        and (filters.since is None or (time is not None and time >= filters.since))
        and (filters.until is None or (time is not None and time < filters.until))
        and (filters.identities is None or image.identity in filters.identities)
        and (filters.prefix is None or image.identity.startswith(filters.prefix))
        and all(
            metadata.get(key, missing) == value and isinstance(metadata[key], bool) == isinstance(value, bool)
            for key, value in filters.metadata.items()
        )
    )


def assert_same_ranking(
    matches: Sequence[Match],
    expected: dict[str, dict[str, float]],
    top_k: int,
    supports: int = 3,
    min_score: float | None = None,
) -> None:
    """`matches` are the best identities of `expected`; scores within float32 rounding may swap."""
    close = 2e-6
    best = {identity: max(images.values()) for identity, images in expected.items()}
    if min_score is not None:
        sure = sum(score >= min_score + close for score in best.values())
        possible = sum(score >= min_score - close for score in best.values())
        assert min(top_k, sure) <= len(matches) <= min(top_k, possible)
    else:
        assert len(matches) == min(top_k, len(best))
    assert len({match.identity for match in matches}) == len(matches)
    for rank, score in enumerate(sorted(best.values(), reverse=True)[: len(matches)]):
        assert abs(matches[rank].score - score) < close
        assert abs(best[matches[rank].identity] - score) < close
    for match in matches:
        images = expected[match.identity]
        assert match.score == match.images[0].score
        assert len(match.images) == min(supports, len(images))
        assert len({support.image_id for support in match.images}) == len(match.images)
        wanted = sorted(images.values(), reverse=True)
        for support, score in zip(match.images, wanted, strict=False):
            assert abs(support.score - score) < close
            assert abs(images[support.image_id] - score) < close
