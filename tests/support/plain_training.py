"""The plain training loop that others write: files decoded and augmented one by one, float32, eager. A baseline.

The network, the losses and the batches are those of `training.train_dgrl`.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model.bundle.manifest import Preprocessing
from model.dgrl import DGRL
from training.config import DGRLRecipe
from training.losses.total import total_loss
from training.sampler import PKSampler
from training.step_clock import StepClock

Pair = tuple[Tensor, Tensor, int]


class PairFiles(Dataset[Pair]):
    """HR and SR files of the same crops, opened and augmented whenever they are asked for."""

    def __init__(self, files: Sequence[tuple[Path, Path]], labels: Sequence[int], recipe: DGRLRecipe) -> None:
        spec = Preprocessing()
        self._files, self._labels, self._augment = files, labels, recipe.augment
        self._size = (recipe.model.width, recipe.model.height)
        self._mean, self._std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)

    def __getitem__(self, position: int) -> Pair:
        padding = round(self._augment.padding * self._size[1] / 256)
        flip = random.random() < self._augment.flip
        left, top = random.randint(0, 2 * padding), random.randint(0, 2 * padding)
        box = (left, top, left + self._size[0], top + self._size[1])
        hr, sr = (self._opened(file, flip, padding, box) for file in self._files[position])
        return hr, sr, self._labels[position]

    def _opened(self, file: Path, flip: bool, padding: int, box: tuple[int, int, int, int]) -> Tensor:
        image = Image.open(file).convert("RGB").resize(self._size, Image.Resampling.BILINEAR)
        image = ImageOps.expand(ImageOps.mirror(image) if flip else image, padding).crop(box)
        pixels = (np.asarray(image, np.float32) / 255 - self._mean) / self._std
        return torch.from_numpy(pixels).permute(2, 0, 1)


class Batches:
    """A batch sampler for DataLoader: `steps` batches of the PK sampler."""

    def __init__(self, sampler: PKSampler, steps: int) -> None:
        self._sampler, self._steps = sampler, steps

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self._sampler.batch(step) for step in range(self._steps))

    def __len__(self) -> int:
        return self._steps


def train_plainly(
    recipe: DGRLRecipe, network: DGRL, data: PairFiles, batches: Batches, clock: StepClock, workers: int
) -> None:
    """SGD in float32 on the device of `network`."""
    device = next(network.parameters()).device
    options = recipe.optimiser
    optimiser = torch.optim.SGD(
        (p for p in network.parameters() if p.requires_grad),
        options.rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        nesterov=True,
        foreach=False,
    )
    network.train()
    loader = iter(DataLoader(data, batch_sampler=batches, num_workers=workers))
    for _ in range(len(batches)):
        clock.begin()
        hr, sr, labels = (part.to(device) for part in next(loader))
        clock.lap("data")
        loss = total_loss(network(hr, sr), labels, recipe.losses).total
        clock.lap("forward")
        optimiser.zero_grad()
        loss.backward()
        clock.lap("backward")
        optimiser.step()
        loss.item()
        clock.lap("optimiser")
