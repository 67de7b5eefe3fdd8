"""`python -m tests.support.example_report` makes the example of a report: the shipped bundle on drawn people.

What the figures say is how the report looks, not how good the bundle is: drawn people are easier than real ones.
"""

import subprocess
import sys
from pathlib import Path

from PIL import Image

from service.demo.drawing import draw_crop
from service.demo.people import people
from service.demo.scene import CAR_PARK, ENTRANCE

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("training/evaluation/example")
_DRAWN = Path("build/example/drawn-people")
_SIZE = (64, 128)  # width, height: as large as the bundle's HR reference
_SHOTS = 2  # of each person by each camera


def draw_people(folder: Path, count: int) -> None:
    """`count` people as a set of one's own: by the car park's camera to be found in pictures of the entrance's."""
    for person in people(count):
        for camera, split in ((CAR_PARK, "probe"), (ENTRANCE, "gallery")):
            place = folder / split / person.name / camera.name
            place.mkdir(parents=True, exist_ok=True)
            for shot in range(_SHOTS):
                crop = draw_crop(person, camera, seed=shot)
                crop.resize(_SIZE, Image.Resampling.BOX).save(place / f"{shot}.png")


def command(drawn: Path, example: Path) -> list[str]:
    """`dgrl-train` with these words; the probes are made low, as in the protocols of the literature."""
    words = ["evaluate", str(drawn), "--dataset", "own", "--protocol", "all"]
    words += ["--bundle", "model/bundles/market1501", "--calibration", "--far", "0.01"]
    words += ["--html", str(example / "report.html"), "--json", str(example / "report.json")]
    return [*words, "--sheet", str(example / "sheet.html"), "--sheet-probes", "6"]


def main() -> None:
    draw_people(ROOT / _DRAWN, 96)
    starter = "from training.cli import app; import sys; sys.argv[0] = 'dgrl-train'; app()"
    words = [sys.executable, "-c", starter, *command(_DRAWN, EXAMPLE)]
    subprocess.run(words, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
