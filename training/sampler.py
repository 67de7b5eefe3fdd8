"""PK sampling: a batch is P identities with K pairs each (paper IV-C: 16 x 3 = 48 pairs)."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.config import ConfigError
from training.data.records import DatasetError
from training.seeds import numpy_generator

Indices = NDArray[np.int64]


class PKSampler:
    """Batches as a function of the step: a run resumed at any step draws the batches it would have drawn.

    An epoch visits every identity once per pass and each identity's images in a fresh order, without replacement
    while they last; an identity with fewer than K images repeats them. Raises DatasetError, and ConfigError for a
    batch of one identity.
    """

    def __init__(
        self, identities: Sequence[int], *, identities_per_batch: int, per_identity: int, seed: int
    ) -> None:
        labels = np.asarray(identities)
        if labels.ndim != 1 or not len(labels):
            raise DatasetError("there are no training images")
        self._images = [np.flatnonzero(labels == identity) for identity in np.unique(labels)]
        if len(self._images) < 2:
            raise DatasetError("training needs at least two identities")
        if identities_per_batch < 2:
            raise ConfigError(
                "a batch needs at least two identities, each image another person to differ from: "
                "raise identities_per_batch"
            )
        self.identities = min(identities_per_batch, len(self._images))
        self._k, self._seed = per_identity, seed
        self.steps_per_epoch = max(1, len(labels) // (identities_per_batch * per_identity))
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def batch(self, step: int) -> Indices:
        """Positions of the P*K images of step `step`, identity by identity: int64 (P*K,)."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[within]

    def _draw_epoch(self, epoch: int) -> list[Indices]:
        random = numpy_generator(self._seed, "pk", epoch)
        decks: list[Indices] = [random.permutation(images) for images in self._images]
        order: list[int] = []
        batches = []
        for _ in range(self.steps_per_epoch):
            if len(order) < self.identities:
                fresh = random.permutation(len(self._images)).tolist()
                order += sorted(
                    fresh, key=order.__contains__
                )  # no identity twice in the batch that spans two passes
            chosen, order = order[: self.identities], order[self.identities :]
            batches.append(np.concatenate([self._take(decks, identity, random) for identity in chosen]))
        return batches

    def _take(self, decks: list[Indices], identity: int, random: np.random.Generator) -> Indices:
        images = self._images[identity]
        if len(images) < self._k:
            return np.concatenate([images, random.choice(images, self._k - len(images))])
        if len(decks[identity]) < self._k:
            rest = decks[identity]
            decks[identity] = np.concatenate([rest, random.permutation(np.setdiff1d(images, rest))])
        taken, decks[identity] = decks[identity][: self._k], decks[identity][self._k :]
        return taken
