"""What is to be enrolled in bulk: folders by person, or a CSV."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REQUIRED = ("path", "identity")
OPTIONAL = ("camera", "captured_at", "metadata")
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


@dataclass(frozen=True, slots=True)
class Item:
    path: Path
    identity: str
    fields: tuple[tuple[str, str], ...] = ()  # camera, captured_at, metadata: as POST /gallery takes them


def items_of(source: Path, camera: str | None = None) -> list[Item]:
    """`source` is a folder IDENTITY/*.jpg or IDENTITY/CAMERA/*.jpg, or a CSV. `camera` is for those without one.

    Raises ValueError, naming the file.
    """
    default = (("camera", camera),) if camera else ()
    found = _from_csv(source, default) if source.is_file() else _from_folder(source, default)
    return list(found)


def left_out(source: Path, items: Sequence[Item]) -> list[Path]:
    """The files in a folder that are not enrolled: in another format, or not in a person's folder."""
    taken = {item.path for item in items}
    return sorted(
        path
        for path in (source.rglob("*") if source.is_dir() else ())
        if path.is_file() and path not in taken and not path.name.startswith(".")
    )


def _from_folder(folder: Path, default: tuple[tuple[str, str], ...]) -> Iterator[Item]:
    for person in _folders(folder):
        for path in _pictures(person):
            yield Item(path, person.name, default)
        for camera in _folders(person):
            for path in _pictures(camera):
                yield Item(path, person.name, (("camera", camera.name),))


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())


def _from_csv(table: Path, default: tuple[tuple[str, str], ...]) -> Iterator[Item]:
    """Paths are relative to the table. Empty fields are left out."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(table, list(reader.fieldnames or ()))
            for row in reader:
                if not (row["path"] and row["identity"]) or None in row:
                    raise ValueError(
                        f"{table}: line {reader.line_num} lacks a path or an identity, or is too long"
                    )
                fields = dict(default) | {name: row[name] for name in OPTIONAL if row.get(name)}
                yield Item(table.parent / row["path"], row["identity"], tuple(fields.items()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is not a CSV in UTF-8: {error}") from error


def _check_columns(table: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    if missing or unknown:
        raise ValueError(
            f"{table}: the first line must name the columns {' and '.join(REQUIRED)}, and may name"
            f" {', '.join(OPTIONAL)}; it has {', '.join(columns) or 'nothing'}"
        )
