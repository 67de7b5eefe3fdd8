"""Draws the person alone, on a transparent layer: limbs, clothes, hair, bag, in a walking pose."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal

from PIL import Image, ImageDraw

from service.demo.people import Colour, Person
from service.demo.scene import Size

Point = tuple[float, float]
View = Literal["front", "back"]


@dataclass(frozen=True, slots=True)
class Pose:
    """How a walking person happens to stand in one picture. Lengths are shares of the person's height."""

    stride: float
    swing: float
    lean: float
    mirrored: bool

    @classmethod
    def draw(cls, rng: Random) -> "Pose":
        stride, swing, lean = rng.uniform(0.02, 0.11), rng.uniform(0.0, 0.09), rng.uniform(-0.02, 0.02)
        return cls(stride, swing, lean, mirrored=rng.random() < 0.5)


def draw_figure(person: Person, view: View, size: Size, rng: Random) -> Image.Image:
    """RGBA, transparent around the person."""
    pose = Pose.draw(rng)
    layer = Image.new("RGBA", size)
    height = size[1] * 0.93 * person.stature
    ground = size[1] * rng.uniform(0.955, 0.985)
    body = _Body(ImageDraw.Draw(layer), size[0] * rng.uniform(0.46, 0.54), ground, height, person, view, pose)
    body.draw_all()
    return layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if pose.mirrored else layer


@dataclass(frozen=True, slots=True)
class _Body:
    """Draws in shares of the person's height: (0, 0) between the feet, (0, 1) the crown."""

    pen: ImageDraw.ImageDraw
    middle: float
    ground: float
    height: float
    person: Person
    view: View
    pose: Pose

    def draw_all(self) -> None:
        self._shadow()
        self._arm(-1)
        self._legs()
        self._torso()
        self._arm(+1)
        self._head()
        self._bag()

    def _at(self, x: float, y: float) -> Point:
        return self.middle + (
            x * self.person.build + self.pose.lean * y
        ) * self.height, self.ground - y * self.height

    def _limb(self, joints: list[Point], widths: list[float], colour: Colour) -> None:
        """A tapering tube through the joints, round at each."""
        for (start, end), (first, last) in zip(pairwise(joints), pairwise(widths), strict=True):
            (x0, y0), (x1, y1) = self._at(*start), self._at(*end)
            length = max(1e-6, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)
            nx, ny = -(y1 - y0) / length * self.height / 2, (x1 - x0) / length * self.height / 2
            corners = [(x0 + nx * first, y0 + ny * first), (x1 + nx * last, y1 + ny * last)]
            corners += [(x1 - nx * last, y1 - ny * last), (x0 - nx * first, y0 - ny * first)]
            self.pen.polygon(corners, fill=colour)
            self._disc(start, first / 2, colour)
            self._disc(end, last / 2, colour)

    def _disc(self, centre: Point, radius: float, colour: Colour, squeeze: float = 1.0) -> None:
        (x, y), r = self._at(*centre), radius * self.height
        self.pen.ellipse((x - r * squeeze, y - r, x + r * squeeze, y + r), fill=colour)

    def _area(self, corners: list[Point], colour: Colour) -> None:
        self.pen.polygon([self._at(*corner) for corner in corners], fill=colour)

    def _shadow(self) -> None:
        (x, y), r = self._at(0, 0.0), self.height
        self.pen.ellipse((x - 0.16 * r, y - 0.015 * r, x + 0.16 * r, y + 0.02 * r), fill=(60, 60, 58))

    def _legs(self) -> None:
        wear = self.person
        for side in (-1, 1):
            hip, knee = (side * 0.045, 0.49), (side * (0.045 + self.pose.stride * 0.5), 0.27)
            ankle = (side * (0.04 + self.pose.stride), 0.045)
            bare = wear.bottom != "trousers"
            self._limb([hip, knee, ankle], [0.105, 0.075, 0.05], wear.skin if bare else wear.bottom_colour)
            if wear.bottom == "shorts":
                self._limb([hip, knee], [0.115, 0.095], wear.bottom_colour)
            toe = (ankle[0] + 0.035, 0.018)
            self._limb([(ankle[0], 0.022), toe], [0.045, 0.035], wear.shoes)
        if wear.bottom == "skirt":
            self._area([(-0.085, 0.51), (0.085, 0.51), (0.125, 0.27), (-0.125, 0.27)], wear.bottom_colour)

    def _torso(self) -> None:
        wear = self.person
        self._limb([(0, 0.80), (0, 0.87)], [0.06, 0.05], wear.skin)
        outline = [(-0.05, 0.84), (0.05, 0.84), (0.125, 0.805), (0.09, 0.62), (0.098, 0.47), (-0.098, 0.47)]
        outline += [(-0.09, 0.62), (-0.125, 0.805)]
        self._area(outline, wear.top_colour)
        if wear.top == "stripes":
            for level in (0.52, 0.60, 0.68, 0.76):
                corners = [(-0.093, level), (0.093, level), (0.093, level + 0.03), (-0.093, level + 0.03)]
                self._area(corners, wear.top_second)
        elif wear.top == "two-tone":
            self._area([(-0.09, 0.63), (0.09, 0.63), (0.098, 0.47), (-0.098, 0.47)], wear.top_second)
        elif wear.top == "open jacket" and self.view == "front":
            self._area([(-0.035, 0.84), (0.035, 0.84), (0.048, 0.47), (-0.048, 0.47)], wear.top_second)

    def _arm(self, side: int) -> None:
        wear, swing = self.person, self.pose.swing * side
        shoulder, elbow = (side * 0.108, 0.788), (side * (0.135 + self.pose.swing * 0.2), 0.63)
        wrist = (side * 0.135 + swing * 0.8, 0.49)
        short = wear.top == "short sleeves"
        self._limb([shoulder, elbow, wrist], [0.062, 0.052, 0.04], wear.skin if short else wear.top_colour)
        if short:
            self._limb([shoulder, (side * 0.132, 0.69)], [0.068, 0.064], wear.top_colour)
        self._disc((wrist[0], 0.475), 0.022, wear.skin)

    def _head(self) -> None:
        wear = self.person
        long_hair = wear.hair == "long"
        if long_hair:
            self._area([(-0.055, 0.94), (0.055, 0.94), (0.062, 0.78), (-0.062, 0.78)], wear.hair_colour)
        self._disc((0, 0.925), 0.07, wear.skin, squeeze=0.74)
        if wear.hair == "bald":
            return
        self._disc((0, 0.955), 0.05, wear.hair_colour, squeeze=1.05)
        if self.view == "back" and wear.hair != "cap":
            self._disc((0, 0.93), 0.07, wear.hair_colour, squeeze=0.76)
            if long_hair:
                self._area([(-0.055, 0.93), (0.055, 0.93), (0.058, 0.76), (-0.058, 0.76)], wear.hair_colour)
        elif long_hair:
            self._disc((0, 0.91), 0.05, wear.skin, squeeze=0.72)
        if wear.hair == "bun":
            self._disc((0, 1.0), 0.03, wear.hair_colour)
        if wear.hair == "cap" and self.view == "front":
            self._area([(-0.055, 0.955), (0.055, 0.955), (0.07, 0.935), (-0.07, 0.935)], wear.hair_colour)

    def _backpack(self) -> None:
        corners = [(-0.06, 0.81), (0.06, 0.81), (0.072, 0.74), (0.07, 0.58), (-0.07, 0.58), (-0.072, 0.74)]
        self._area(corners, self.person.bag_colour)

    def _bag(self) -> None:
        wear = self.person
        if wear.bag == "backpack" and self.view == "back":
            self._backpack()
        elif wear.bag == "backpack":
            for side in (-1, 1):
                self._limb([(side * 0.075, 0.83), (side * 0.08, 0.64)], [0.026, 0.022], wear.bag_colour)
        elif wear.bag == "shoulder bag":
            self._limb([(-0.08, 0.83), (0.10, 0.56)], [0.018, 0.018], wear.bag_colour)
            self._area([(0.07, 0.57), (0.17, 0.56), (0.175, 0.43), (0.07, 0.43)], wear.bag_colour)
        elif wear.bag == "handbag":
            wrist = 0.135 + self.pose.swing * 0.8
            self._limb([(wrist, 0.475), (wrist, 0.42)], [0.012, 0.012], wear.bag_colour)
            corners = [(wrist - 0.05, 0.42), (wrist + 0.05, 0.42), (wrist + 0.06, 0.31), (wrist - 0.06, 0.31)]
            self._area(corners, wear.bag_colour)
