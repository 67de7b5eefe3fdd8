"""Ranking sheets: probes with their best gallery images, as one HTML page that holds the images.

They show people: they are written only where someone asks for them, and never into the repository.
"""

import base64
import io
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from model.bundle.preprocessing import Pixels
from training.data.images import low_resolution, read_image
from training.evaluation.evaluate import Run
from training.evaluation.outcome import NO_MATCH
from training.packed import fitted

_TOP = 10
ROWS = 40  # probes on a sheet
_SHOWN = (128, 64)  # pixels of a gallery image: height, width
_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5rem; } .row { display: flex; gap: .5rem; margin: .8rem 0; }
figure { margin: 0; width: 74px; } img { width: 64px; height: 128px; border: 4px solid #8884; }
.probe { margin-right: 1rem; } .probe img { image-rendering: pixelated; border-color: #0072b2; }
.match img { border-color: #009e73; } .other img { border-color: #d55e00; }
figcaption { font-size: 11px; }
"""


def write_sheet(path: Path, root: Path, run: Run, *, probes: int = ROWS, seed: int = 0) -> None:
    """Half of the rows are drawn at random, half from the probes whose first match ranks lowest."""
    first = run.ranked[0].outcome.first_match[0]
    scored = np.flatnonzero(first != NO_MATCH)
    worst = scored[np.argsort(-first[scored], kind="stable")][: probes // 2]
    rest = np.setdiff1d(scored, worst)
    drawn = np.random.default_rng(seed).permutation(rest)[: probes - len(worst)]
    body = "".join(
        f"<h2>{heading}</h2>" + "".join(_row(root, run, int(probe), int(first[probe])) for probe in chosen)
        for heading, chosen in (("Drawn at random", drawn), ("First match ranked lowest", worst))
    )
    result = run.ranked[0].rows[0].result
    title = f"{run.label}, {result.protocol}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>manifest {result.manifest}, {escape(result.scorer)}; green: the same person, "
        f"red: another</p>{body}\n",
        encoding="utf-8",
    )


def _row(root: Path, run: Run, probe: int, first: int) -> str:
    probes, gallery = run.probes, run.gallery
    scores = gallery.vectors @ probes.vectors[probe]
    identity, camera = probes.labels.identities[probe], probes.labels.cameras[probe]
    matches = gallery.labels.identities == identity
    same = matches & (gallery.labels.cameras == camera)
    order = [g for g in np.argsort(-scores, kind="stable")[: _TOP + int(same.sum())] if not same[g]][:_TOP]
    low = low_resolution(read_image(root / probes.files[probe]), int(probes.factors[probe]))
    figures = [_figure("probe", low, f"{low.shape[0]} px, first match {first}")]
    for g in order:
        kind = "match" if matches[g] else "other"
        image = fitted(read_image(root / gallery.files[g]), _SHOWN)
        figures.append(_figure(kind, image, f"{scores[g]:.3f}", "JPEG"))
    return f'<div class="row">{"".join(figures)}</div>'


def _figure(kind: str, image: Pixels, caption: str, encoding: Literal["PNG", "JPEG"] = "PNG") -> str:
    """A probe is shown pixel by pixel; of gallery images there are many, and a look at them is enough."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, encoding)
    encoded = base64.b64encode(data.getvalue()).decode()
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/{encoding.lower()};base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
