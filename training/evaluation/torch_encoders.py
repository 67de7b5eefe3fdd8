"""Networks in PyTorch as encoders: a training checkpoint, and the ImageNet ResNet-50 that it must beat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from model.bundle.manifest import Manifest, Preprocessing, SuperResolver
from model.bundle.preprocessing import Pixels
from model.bundle.routing import Branch, Route, SuperResolution, route
from model.embedder import Embedder
from model.pretrained import load_imagenet
from model.rcan import RCAN, to_pixels
from model.resnet import Bottleneck, make_stage
from model.weights import WeightsError
from training.config import HR_REFERENCE, Precision
from training.device import Normalise, autocast, channels_last, pixels_to_tensor
from training.evaluation.encoders import LOW_RESOLUTION, Vectors


class CheckpointEncoder:
    """The deployed half of a DGRL checkpoint, with one RCAN per scale (or one for several)."""

    name = "checkpoint"

    def __init__(
        self,
        embedder: Embedder,
        resolvers: Mapping[int, RCAN],
        *,
        hr_reference: tuple[int, int] = HR_REFERENCE,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self._device = torch.device(device)
        self._precision = precision
        self._embedder = channels_last(embedder.to(self._device).eval())
        self._resolvers = {
            scale: channels_last(rcan.to(self._device).eval()) for scale, rcan in resolvers.items()
        }
        self.size = (embedder.config.height, embedder.config.width)
        self._normalise = Normalise(Preprocessing(), self._device)
        self._served_like = _routing_manifest(sorted(resolvers), hr_reference)

    def route(self, height: int, requested: SuperResolution) -> Route:
        return route(height, self._served_like, requested)

    @torch.inference_mode()
    def super_resolve(self, images: Pixels, scale: int) -> Pixels:
        low = pixels_to_tensor(images, self._device)
        with autocast(self._device, self._precision):
            large = to_pixels(self._resolvers[scale](low, scale))
        return _pixels(large)

    @torch.inference_mode()
    def embed(self, images: Pixels, branch: Branch) -> Vectors:
        crops = self._normalise(pixels_to_tensor(images, self._device))
        with autocast(self._device, self._precision):
            return _vectors(self._embedder(crops, branch))


class ResNet50(nn.Module):
    """The ImageNet network without `fc`, in torchvision's key names: (B, 3, H, W) to (B, 2048)."""

    def __init__(self, *, stride_in_first_convolution: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = make_stage(64, 64, 3, stride=1)
        self.layer2 = make_stage(256, 128, 4, stride=2)
        self.layer3 = make_stage(512, 256, 6, stride=2)
        self.layer4 = make_stage(1024, 512, 3, stride=2)
        if stride_in_first_convolution:
            for first in (self.layer2[0], self.layer3[0], self.layer4[0]):
                assert isinstance(first, Bottleneck)
                first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


class ImageNetEncoder:
    """ResNet-50 as ImageNet left it: pooled features, probes plainly upscaled, one stem for both sides."""

    name = "ImageNet ResNet-50"
    size = (256, 128)

    def __init__(
        self, weights: Path, *, device: torch.device | str = "cpu", precision: Precision = "float32"
    ) -> None:
        state = load_imagenet(weights)
        network = ResNet50(stride_in_first_convolution=_stride_in_first_convolution(weights))
        missing, unexpected = network.load_state_dict(state, strict=False)
        absent = [name for name in missing if not name.endswith("num_batches_tracked")]
        if absent or unexpected:
            raise WeightsError(
                f"{weights}: not a ResNet-50 (missing {absent[:3]}, unexpected {unexpected[:3]})"
            )
        self._device, self._precision = torch.device(device), precision
        self._network = channels_last(network.to(self._device).eval())
        self._normalise = Normalise(Preprocessing(), self._device)

    def route(self, height: int, requested: SuperResolution) -> Route:
        return LOW_RESOLUTION

    def super_resolve(self, images: Pixels, scale: int) -> Pixels:
        raise ValueError("the ImageNet baseline has no super-resolution")

    @torch.inference_mode()
    def embed(self, images: Pixels, branch: Branch) -> Vectors:
        crops = self._normalise(pixels_to_tensor(images, self._device))
        with autocast(self._device, self._precision):
            features = self._network(crops)
        return _vectors(F.normalize(features.float(), dim=1))


def _routing_manifest(scales: list[int], reference: tuple[int, int]) -> Manifest:
    """The part of a bundle's manifest that routing reads."""
    resolvers = [
        SuperResolver.model_validate(
            {
                "scale": scale,
                "height": reference[0] // scale,
                "width": reference[1] // scale,
                "file": "checkpoint",
            }
        )
        for scale in scales
    ]
    read: dict[str, Any] = {"super_resolution": tuple(resolvers), "hr_reference_height": reference[0]}
    return Manifest.model_construct(**read)


def _stride_in_first_convolution(weights: Path) -> bool:
    """ResNet v1 (Keras, Caffe) has it there; torchvision's v1.5 in the 3x3. The file's header says which."""
    with safe_open(weights, framework="pt") as file:
        layout = (file.metadata() or {}).get("layout", "")
    return "stride in conv1" in layout


def _pixels(images: Tensor) -> Pixels:
    pixels: Pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def _vectors(vectors: Tensor) -> Vectors:
    array: Vectors = vectors.float().cpu().numpy()
    return array
