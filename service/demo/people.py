"""Synthetic people: what each one wears and carries, drawn from a seed. No real person, no data set."""

from dataclasses import dataclass
from random import Random
from typing import Literal

Colour = tuple[int, int, int]
Hair = Literal["short", "long", "bun", "bald", "cap"]
Top = Literal["plain", "short sleeves", "stripes", "open jacket", "two-tone"]
Bottom = Literal["trousers", "shorts", "skirt"]
Bag = Literal["none", "backpack", "shoulder bag", "handbag"]

SKINS: tuple[Colour, ...] = ((241, 205, 178), (224, 177, 143), (188, 136, 101), (141, 94, 66), (96, 64, 48))
HAIRS: tuple[Colour, ...] = ((26, 22, 20), (66, 44, 30), (116, 78, 44), (204, 168, 104), (138, 134, 130))
TOPS: tuple[Colour, ...] = (
    (196, 40, 44),
    (36, 70, 158),
    (232, 228, 218),
    (40, 128, 72),
    (236, 196, 60),
    (34, 34, 38),
    (126, 62, 140),
    (226, 124, 48),
    (112, 186, 206),
    (142, 142, 140),
    (224, 140, 168),
    (108, 92, 56),
)
BOTTOMS: tuple[Colour, ...] = (
    (34, 40, 66),
    (28, 28, 30),
    (176, 158, 122),
    (96, 122, 164),
    (108, 106, 108),
    (92, 62, 44),
    (222, 218, 208),
    (70, 84, 58),
)
SHOES: tuple[Colour, ...] = ((30, 28, 28), (230, 228, 224), (110, 72, 46), (176, 44, 48))
HAIR_STYLES: tuple[Hair, ...] = ("short", "long", "bun", "bald", "cap")
TOP_KINDS: tuple[Top, ...] = ("plain", "short sleeves", "stripes", "open jacket", "two-tone")
BOTTOM_KINDS: tuple[Bottom, ...] = ("trousers", "trousers", "shorts", "skirt")
BAGS: tuple[Bag, ...] = ("none", "backpack", "shoulder bag", "handbag")


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same from camera to camera. `build` and `stature` are factors around 1."""

    name: str
    skin: Colour
    hair: Hair
    hair_colour: Colour
    top: Top
    top_colour: Colour
    top_second: Colour  # stripes, the shirt under an open jacket, the lower half of a two-tone top
    bottom: Bottom
    bottom_colour: Colour
    shoes: Colour
    bag: Bag
    bag_colour: Colour
    build: float
    stature: float


def people(count: int, seed: int = 0) -> list[Person]:
    """`count` people, the same for the same seed; no two wear the same pair of top and bottom colours."""
    rng = Random(seed)
    outfits = _outfits(rng)
    if count > len(outfits):
        raise ValueError(f"{count} people asked for; the wardrobe dresses at most {len(outfits)} differently")
    return [_person(number, *outfits[number], rng) for number in range(count)]


def _outfits(rng: Random) -> list[tuple[Colour, Colour]]:
    """Every (top, bottom) pair once; each top colour is used once before any is used again."""
    tops = rng.sample(TOPS, len(TOPS))
    bottoms = rng.sample(BOTTOMS, len(BOTTOMS))
    return [
        (top, bottoms[(position + turn) % len(bottoms)])
        for turn in range(len(bottoms))
        for position, top in enumerate(tops)
    ]


def _person(number: int, top: Colour, bottom: Colour, rng: Random) -> Person:
    return Person(
        name=f"person-{number + 1:02d}",
        skin=rng.choice(SKINS),
        hair=rng.choice(HAIR_STYLES),
        hair_colour=rng.choice(HAIRS),
        top=rng.choice(TOP_KINDS),
        top_colour=top,
        top_second=rng.choice([colour for colour in TOPS if colour != top]),
        bottom=rng.choice(BOTTOM_KINDS),
        bottom_colour=bottom,
        shoes=rng.choice(SHOES),
        bag=rng.choice(BAGS),
        bag_colour=rng.choice([colour for colour in (*TOPS, *SHOES) if colour not in (top, bottom)]),
        build=rng.uniform(0.88, 1.16),
        stature=rng.uniform(0.93, 1.0),
    )
