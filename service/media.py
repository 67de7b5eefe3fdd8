"""The media type of an accepted upload, by its content."""

import io

from PIL import Image

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}


def media_type(data: bytes) -> str:
    """Reads the header of bytes that `decode` has accepted."""
    with Image.open(io.BytesIO(data), formats=list(_TYPES)) as image:
        return _TYPES[image.format or ""]
