"""Decoding whatever people upload: formats, modes, orientations, limits, and damage."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from model.bundle.preprocessing import (
    BACKDROP,
    ImageError,
    ImageLimits,
    TooManyPixels,
    TooSmall,
    Undecodable,
    UnsupportedFormat,
    decode,
    resize,
)

LIMITS = ImageLimits()
ORIENTATION = 0x0112


def person() -> Image.Image:
    """48 pixels high and 24 wide, smooth, and different in all four corners."""
    y, x = np.mgrid[0:48, 0:24]
    return Image.fromarray(np.stack([y * 5, x * 10, 255 - y * 3 - x], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    image = decode(data, LIMITS)
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


def difference(data: bytes, image: Image.Image) -> int:
    """The largest one, in grey levels."""
    return int(np.abs(pixels(data) - np.asarray(image.convert("RGB")).astype(np.int64)).max())


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [("PNG", {}, 0), ("BMP", {}, 0), ("WEBP", {"lossless": True}, 0), ("JPEG", {"quality": 95}, 16)],
)
def test_the_four_formats_are_read(kind: str, options: dict[str, Any], tolerance: int) -> None:
    assert difference(encoded(person(), kind, **options), person()) <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_orientation_becomes_upright(orientation: int, kind: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # a camera turned clockwise stores the scene turned counter-clockwise
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = person().transpose(undo[orientation]) if orientation in undo else person()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert difference(data, person()) <= (24 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("L", kind) for kind in ("PNG", "JPEG", "BMP")),
        *(("1", kind) for kind in ("PNG", "JPEG", "BMP")),
        *(("P", kind) for kind in ("PNG", "BMP")),
        ("CMYK", "JPEG"),
        ("YCbCr", "JPEG"),
    ],
)
def test_colour_modes_become_rgb(mode: str, kind: str) -> None:
    image = person().convert(mode)
    data = encoded(image, kind)
    assert difference(data, image) <= (0 if kind != "JPEG" else 80 if mode == "1" else 30)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pixels_become_the_backdrop(mode: str, kind: str) -> None:
    image = person().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 24, 10))
    image.putalpha(alpha)
    found = pixels(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert (found[:10] == BACKDROP).all()
    np.testing.assert_array_equal(found[10:], np.asarray(image.convert("RGB"))[10:])


def test_half_transparent_pixels_are_mixed() -> None:
    image = Image.new("RGBA", (24, 48), (255, 0, 0, 128))
    np.testing.assert_allclose(pixels(encoded(image))[0, 0], [190, 58, 52], atol=1)


def test_a_palette_with_a_transparent_entry_shows_the_backdrop() -> None:
    image = Image.new("P", (24, 48), 0)
    image.putpalette([200, 10, 10, 10, 200, 10])
    image.paste(1, (0, 20, 24, 48))
    found = pixels(encoded(image, transparency=0))
    assert (found[:20] == BACKDROP).all()
    assert (found[20:] == (10, 200, 10)).all()


def png16(samples: np.ndarray[Any, Any], colour_type: int) -> bytes:
    """A PNG with 16 bits a sample, from (height, width, channels); Pillow writes grey ones only."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (3, 2)], ids=["grey", "RGB"])
def test_16_bit_samples_keep_their_high_byte(channels: int, colour_type: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (48, 24, channels), dtype=np.uint16)
    expected = np.broadcast_to(samples >> 8, (48, 24, 3))
    np.testing.assert_array_equal(pixels(png16(samples, colour_type)), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(
        person(), kind, save_all=True, append_images=[ImageOps.invert(person())], duration=100, **options
    )
    assert difference(data, person()) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.9])
def test_a_truncated_file_is_undecodable(kind: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 24, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(Undecodable, match="damaged or truncated"):
        decode(data[: max(12, int(len(data) * kept))], LIMITS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_raise_nothing_but_image_errors(kind: str) -> None:
    data = encoded(person(), kind)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 4):
            damaged[position] = rng.integers(0, 256)
        try:
            image = decode(bytes(damaged), LIMITS)
        except ImageError:
            continue
        assert image.mode == "RGB"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*"])
def test_damaged_exif_leaves_the_image_as_it_is_stored(exif: bytes) -> None:
    assert difference(encoded(person(), "JPEG", exif=exif, quality=95), person()) <= 16


def test_an_empty_file_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="empty"):
        decode(b"", LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"just some text, whatever the name says",
        encoded(person(), "GIF"),
        encoded(person(), "TIFF"),
        b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVEfmt ",
    ],
    ids=["text", "gif", "tiff", "heic", "pdf", "wav"],
)
def test_other_formats_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP or BMP"):
        decode(data, LIMITS)


@pytest.mark.parametrize("size", [(1, 1), (7, 48), (24, 15)])
def test_a_small_image_is_refused_with_its_size(size: tuple[int, int]) -> None:
    with pytest.raises(TooSmall, match=f"{size[0]}x{size[1]} pixels .* 8x16"):
        decode(encoded(Image.new("RGB", size)), LIMITS)


def test_the_size_limit_is_for_the_upright_image() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    decode(encoded(Image.new("RGB", (16, 8)), exif=exif), LIMITS)


def bomb(width: int, height: int, kind: str) -> bytes:
    """A small file whose header announces a large image."""
    data = bytearray(encoded(person(), kind))
    if kind == "PNG":
        header = b"IHDR" + struct.pack(">II", width, height) + bytes(data[24:29])
        data[12:33] = header + struct.pack(">I", zlib.crc32(header))
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif kind == "JPEG":
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("side", [5_000, 12_000, 20_000, 60_000])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
def test_a_decompression_bomb_is_refused_by_its_header(side: int, kind: str) -> None:
    with pytest.raises(TooManyPixels, match="16,777,216"):
        decode(bomb(side, side, kind), LIMITS)


def test_the_pixel_limit_is_inclusive() -> None:
    data = encoded(person())
    decode(data, ImageLimits(max_pixels=48 * 24))
    with pytest.raises(TooManyPixels, match="24x48"):
        decode(data, ImageLimits(max_pixels=48 * 24 - 1))


def test_resize_is_pillows_bilinear() -> None:
    resized = resize(person(), 256, 128)
    assert resized.shape == (256, 128, 3)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.asarray(person().resize((128, 256), Image.Resampling.BILINEAR)))
    resized[0, 0] = 0  # the caller's own, not a view into the image


def test_resize_to_its_own_size_changes_nothing() -> None:
    np.testing.assert_array_equal(resize(person(), 48, 24), np.asarray(person()))
