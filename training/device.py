"""Where tensors live and in what precision and layout they are computed."""

from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor, nn

from model.bundle.manifest import Preprocessing
from model.bundle.preprocessing import Pixels
from training.config import Precision

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class DeviceError(ValueError):
    """A device that was asked for and is not there."""


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA when there is one; asking for a device that is missing is an error."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is not a device: give auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"{name} was asked for, but PyTorch {torch.__version__} sees no CUDA device")
    return device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 needs no loss scaling; what must not lose precision switches it off for itself."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def channels_last(module: ModuleT) -> ModuleT:
    """Convolutions are fastest in this layout, on CPUs and GPUs alike."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A copy to a GPU that the host does not wait for (from page-locked memory); elsewhere `x` itself."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def pixels_to_tensor(images: Pixels, device: torch.device) -> Tensor:
    """uint8 (N, H, W, 3) to float 0..255 (N, 3, H, W), channels last."""
    return torch.from_numpy(images).to(device, non_blocking=True).permute(0, 3, 1, 2).float()


class Normalise:
    """The bundle's preprocessing on the device: float 0..255 (N, 3, H, W) to ImageNet-normalised."""

    def __init__(self, spec: Preprocessing, device: torch.device) -> None:
        self._mean = torch.tensor(spec.mean, device=device).reshape(1, 3, 1, 1) * 255
        self._std = torch.tensor(spec.std, device=device).reshape(1, 3, 1, 1) * 255

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self._mean) / self._std
