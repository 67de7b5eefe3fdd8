"""Sharp crops of one camera make the gallery; small crops of the other are searched in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image

from service.demo.drawing import draw_crop, low_resolution
from service.demo.people import Person
from service.demo.scene import CAR_PARK, ENTRANCE
from service.schemas_query import QueryAnswer

PEOPLE = 12
IMAGES_EACH = 2  # enrolled per person
RATIOS = (4, 6, 8)  # crops of 64, 42 and 32 pixels height, one of them per probe in turn


@dataclass(frozen=True, slots=True)
class Found:
    """What the service answered to one person's small crop."""

    person: Person
    answer: QueryAnswer

    @property
    def right_first(self) -> bool:
        return bool(self.answer.matches) and self.answer.matches[0].identity == self.person.name


def enrol(client: httpx.Client, everyone: Sequence[Person]) -> int:
    """Puts the sharp crops into the gallery; returns how many."""
    for person in everyone:
        crops = enumerate(sharp_crops(person))
        files = [("images", (f"{person.name}-{n}.png", _png(crop), "image/png")) for n, crop in crops]
        form = {"identity": person.name, "camera": ENTRANCE.name}
        client.post("/gallery", data=form, files=files).raise_for_status()
    return len(everyone) * IMAGES_EACH


def search(client: httpx.Client, everyone: Sequence[Person]) -> list[Found]:
    """Looks for each person by one small crop that the other camera took."""
    found = []
    for number, person in enumerate(everyone):
        files = {"images": (f"{CAR_PARK.name}.png", _png(small_crop(person, number)), "image/png")}
        response = client.post("/query", data={"top_k": "3"}, files=files).raise_for_status()
        found.append(Found(person, QueryAnswer.model_validate_json(response.content)))
    return found


def save(folder: Path, everyone: Sequence[Person]) -> None:
    """Writes the same crops as files: `gallery/person-01-0.png`, `probes/person-01.png` and so on."""
    for name in ("gallery", "probes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(everyone):
        for n, crop in enumerate(sharp_crops(person)):
            crop.save(folder / "gallery" / f"{person.name}-{n}.png")
        small_crop(person, number).save(folder / "probes" / f"{person.name}.png")


def sharp_crops(person: Person) -> list[Image.Image]:
    return [draw_crop(person, ENTRANCE, number) for number in range(IMAGES_EACH)]


def small_crop(person: Person, number: int) -> Image.Image:
    return low_resolution(draw_crop(person, CAR_PARK, 0), RATIOS[number % len(RATIOS)])


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
