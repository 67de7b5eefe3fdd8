"""The synthetic people: repeatable, told apart by their clothes, seen differently by the two cameras."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.demo.drawing import CROP, draw_crop, low_resolution
from service.demo.people import Person, people
from service.demo.scene import CAR_PARK, ENTRANCE, Camera


def _clothes(crop: Image.Image) -> NDArray[np.float32]:
    """(6, 3): mean colours down the middle of the crop, where the clothes are."""
    pixels = np.asarray(crop, np.float32)
    middle = pixels[:, crop.width // 3 : 2 * crop.width // 3]
    return np.stack([band.mean((0, 1)) for band in np.array_split(middle, 6)])


def test_the_same_seed_draws_the_same_people_and_the_same_pixels() -> None:
    assert people(8, seed=3) == people(8, seed=3)
    assert people(8, seed=3) != people(8, seed=4)
    person = people(1, seed=3)[0]
    assert draw_crop(person, ENTRANCE, 5).tobytes() == draw_crop(person, ENTRANCE, 5).tobytes()


def test_another_seed_is_another_picture_of_the_same_person() -> None:
    person = people(1)[0]
    assert draw_crop(person, ENTRANCE, 0).tobytes() != draw_crop(person, ENTRANCE, 1).tobytes()


def test_a_smaller_group_is_the_start_of_a_larger_one() -> None:
    assert people(12, seed=1)[:5] == people(5, seed=1)


def test_no_two_people_dress_alike() -> None:
    everyone = people(96)
    assert len({(person.top_colour, person.bottom_colour) for person in everyone}) == 96
    assert len({person.top_colour for person in everyone[:12]}) == 12
    with pytest.raises(ValueError, match="at most 96"):
        people(97)


def test_people_vary_in_everything_but_their_number() -> None:
    everyone = people(40)
    for field in fields(Person):
        assert len({getattr(person, field.name) for person in everyone}) > 2, field.name


@pytest.mark.parametrize("camera", [ENTRANCE, CAR_PARK], ids=lambda camera: camera.name)
def test_gallery_crops_are_sharp_rgb_and_large(camera: Camera) -> None:
    crop = draw_crop(people(1)[0], camera, 0)
    assert crop.mode == "RGB"
    assert crop.size == CROP
    assert crop.height >= 128


@pytest.mark.parametrize(("ratio", "size"), [(4, (32, 64)), (6, (21, 42)), (8, (16, 32))])
def test_low_resolution_crops_have_the_size_of_the_service_buckets(ratio: int, size: tuple[int, int]) -> None:
    assert low_resolution(draw_crop(people(1)[0], CAR_PARK, 0), ratio).size == size


def test_the_cameras_differ_in_colour_and_background() -> None:
    differences = []
    for person in people(6):
        near, far = (np.asarray(draw_crop(person, camera, 0), np.float32) for camera in (ENTRANCE, CAR_PARK))
        corner = np.s_[:40, :20]  # background only
        differences.append(np.abs(near[corner].mean((0, 1)) - far[corner].mean((0, 1))).max())
        warmth = [picture[..., 0].mean() - picture[..., 2].mean() for picture in (near, far)]
        assert warmth[0] > warmth[1] + 10
    assert min(differences) > 20


def test_people_resemble_themselves_across_the_cameras() -> None:
    everyone = people(12)
    gallery = np.stack([_clothes(draw_crop(person, ENTRANCE, 0)) for person in everyone])
    among_three = 0
    for number, person in enumerate(everyone):
        probe = _clothes(draw_crop(person, CAR_PARK, 0))
        among_three += number in np.abs(gallery - probe).mean((1, 2)).argsort()[:3]
    assert among_three >= 10  # plain colours, no network: chance is 3 of 12
