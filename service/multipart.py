"""multipart/form-data into memory: a picture of a person never touches the disk before it is stored.

The body is bounded before it comes here. A form that ends before its closing boundary is refused as a whole.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.problems import FieldError, InvalidFields, Kind, Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MAX_FIELDS = 256
_MAX_FIELD_BYTES = 256 * 1024
_MAX_FILENAME = 255


@dataclass(slots=True)
class Part:
    """A file where `filename` is not None; a browser's empty file input gives an empty one."""

    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


async def read_multipart(content_type: str, body: AsyncIterator[bytes], max_files: int) -> list[Part]:
    _, options = parse_options_header(content_type)
    reader = _Reader(max_files)
    try:
        parser = MultipartParser(
            options.get(b"boundary") or _refuse("the boundary is missing"), reader.callbacks
        )
        async for chunk in body:
            parser.write(chunk)
    except FormParserError:
        _refuse("the form is malformed")
    if not reader.ended:
        _refuse("the form ends before its closing boundary")
    return reader.parts


class _Reader:
    def __init__(self, max_files: int) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._max_files = max_files
        self._header, self._value = b"", b""
        self._disposition = b""

    @property
    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._describe,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.parts.append(Part())
        self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _describe(self) -> None:
        _, options = parse_options_header(self._disposition)
        part = self.parts[-1]
        part.name = _text(options.get(b"name") or _refuse("a part has no name"))
        if b"filename" in options:  # a note for people, never a path
            part.filename = options[b"filename"].decode("utf-8", "replace")[-_MAX_FILENAME:]
        files = sum(p.filename is not None for p in self.parts)
        if files > self._max_files:
            raise InvalidFields(
                [FieldError(field=part.name, message=f"at most {self._max_files} files are read")]
            )
        if len(self.parts) - files > _MAX_FIELDS:
            _refuse(f"at most {_MAX_FIELDS} fields are read")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.data += data[start:end]
        if part.filename is None and len(part.data) > _MAX_FIELD_BYTES:
            _refuse(f"{part.name!r} has more than {_MAX_FIELD_BYTES:,} bytes")

    def _end(self) -> None:
        self.ended = True


def text_of(part: Part) -> str:
    return _text(bytes(part.data))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _refuse("the form's text is not UTF-8")


def _refuse(text: str) -> Never:
    raise Problem(Kind.INVALID_REQUEST, text)
