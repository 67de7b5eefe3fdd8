"""From an upload's bytes to the encoder's pixels: one definition for training, evaluation and service.

Rules of `decode`, whatever the file's name says:
    JPEG, PNG, WebP and BMP, told apart by their first bytes; anything else is `UnsupportedFormat`
    the pixel count is read from the header and checked before a pixel is decoded
    turned upright by the EXIF orientation (or XMP's)
    alpha and transparent palettes are laid over ImageNet's mean colour, which the encoder sees as zero
    16-bit samples keep their high byte; CMYK and grey become RGB without colour management
    of an animation the first frame counts
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

BACKDROP = (124, 116, 104)  # ImageNet's mean colour, RGB
_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
}


class ImageError(ValueError):
    """An upload that cannot become an image."""


class UnsupportedFormat(ImageError):
    """Not a JPEG, PNG, WebP or BMP file."""


class Undecodable(ImageError):
    """An empty, truncated or damaged file."""


class TooManyPixels(ImageError):
    """The header announces more pixels than the limit."""


class TooSmall(ImageError):
    """Fewer pixels than a person can be recognised by."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Sizes in pixels, of the upright image."""

    max_pixels: int = 16_777_216
    min_height: int = 16
    min_width: int = 8


def decode(data: bytes, limits: ImageLimits) -> Image.Image:
    """The upright RGB image in `data`; raises an `ImageError` that says what is wrong."""
    image = _open(data, limits)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on hostile bytes
        raise Undecodable(f"the image is damaged or truncated ({error})") from error
    if image.height < limits.min_height or image.width < limits.min_width:
        raise TooSmall(
            f"the image is {image.width}x{image.height} pixels (width x height); "
            f"at least {limits.min_width}x{limits.min_height} are needed"
        )
    return _to_rgb(image)


def resize(image: Image.Image, height: int, width: int) -> Pixels:
    """RGB image to uint8 (height, width, 3), by Pillow's antialiased bilinear filter."""
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    """Reads the header only."""
    kind = _sniff(data)
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"{error}; at most {limits.max_pixels:,} pixels are accepted") from error
    except MemoryError:
        raise
    except Exception as error:
        raise Undecodable(f"the {kind} header is damaged or truncated") from error
    if image.width * image.height > limits.max_pixels:
        raise TooManyPixels(
            f"the image is {image.width}x{image.height} pixels (width x height); "
            f"at most {limits.max_pixels:,} pixels are accepted"
        )
    return image


def _sniff(data: bytes) -> str:
    if not data:
        raise Undecodable("the file is empty")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    for kind, signatures in _SIGNATURES.items():
        if data.startswith(signatures):
            return kind
    raise UnsupportedFormat("not a JPEG, PNG, WebP or BMP image")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _high_byte(image).convert("RGB")
    if image.has_transparency_data:
        backdrop = Image.new("RGBA", image.size, (*BACKDROP, 255))
        return Image.alpha_composite(backdrop, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    """16-bit grey samples to 8 bits; Pillow's own conversion would clip them at 255."""
    samples = np.asarray(image).astype(np.uint32)
    return Image.fromarray((samples >> 8).clip(0, 255).astype(np.uint8))
