"""A branch's encoder: one session, or a stem's and the trunk's one after the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.bundle.preprocessing import Pixels
from model.bundle.session import OnnxSession


@dataclass(frozen=True, slots=True)
class Encoder:
    """`trunk` None: `stem` is the whole encoder."""

    stem: OnnxSession
    trunk: OnnxSession | None

    def run(self, images: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) to unit rows (N, dimension)."""
        if self.trunk is None:
            return self.stem.run(images)
        return self.trunk.take_up(self.stem.begin(images))
