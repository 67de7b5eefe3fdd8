"""POST /query: probes → fused vector → search → calibrated matches."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from index import Filters, Match
from model.bundle.preprocessing import Pixels
from service.body import Upload
from service.deadline import Deadline
from service.pipeline import Embedded, fuse
from service.problems import FieldError, InvalidFields
from service.schemas import QualityOut
from service.schemas_query import (
    CalibrationOut,
    MatchOut,
    ProbeOut,
    QueryAnswer,
    QueryForm,
    SupportOut,
    Timing,
)
from service.services import Services
from service.timing import STAGES, Stopwatch


async def query(
    services: Services, form: QueryForm, uploads: Sequence[Upload], watch: Stopwatch, actor: str
) -> QueryAnswer:
    _check(services, form)
    deadline = Deadline.of(services.settings.deadline_s)
    with services.admission.admit(len(uploads)):
        probes = await services.pipeline.embed_probes(uploads, form.super_resolution, deadline, watch)
        deadline.check()
        with watch.stage("search"):
            [matches] = await services.in_store(
                services.gallery.search,
                fuse([probe.vector for probe in probes])[np.newaxis],  # (1, dimension)
                form.top_k or services.settings.top_k,
                filters=_filters(form),
                min_score=form.min_score,
                rerank=form.rerank,
                bundle_id=services.manifest.bundle_id,
                actor=actor,
            )
        pictures = await _pictures(services, probes) if form.return_super_resolved else [None] * len(probes)
    described = [probe_out(probe, picture) for probe, picture in zip(probes, pictures, strict=True)]
    middle = sorted(described, key=lambda probe: probe.height)[(len(described) - 1) // 2]
    decision = calibration(services, middle.height)
    return QueryAnswer(
        probe=middle,
        probes=described,
        matches=[_match(services, m, rank, middle.height, decision) for rank, m in enumerate(matches, 1)],
        order="k-reciprocal" if form.rerank else "score",
        calibration=decision,
        bundle=services.manifest.bundle_id,
        timing_ms=timing(services, watch),
    )


def probe_out(probe: Embedded, picture: str | None = None) -> ProbeOut:
    crop = probe.crop
    return ProbeOut(
        width=crop.quality.width,
        height=crop.quality.height,
        scale=crop.route.scale,
        branch=crop.route.branch,
        quality=QualityOut.of(crop.quality),
        super_resolved=picture,
    )


def calibration(services: Services, height: int | None) -> CalibrationOut:
    """`height` None: nothing is known of the probe but its vector."""
    far = services.settings.match_far
    found = None if height is None else services.calibration.threshold(height, far)
    if found is not None:
        return CalibrationOut(far=far, threshold=found.score, low=found.low, high=found.high, note=None)
    if height is None:
        note = "a vector alone has no height to choose a calibration by"
    elif not services.manifest.calibration:
        note = "the bundle has no calibration: scores are raw"
    else:
        note = f"the bundle is not calibrated at a false-accept rate of {far:g} for a height of {height}"
    return CalibrationOut(far=far, threshold=None, low=None, high=None, note=note)


def probability(services: Services, score: float, height: int | None) -> float | None:
    return None if height is None else services.calibration.probability(score, height)


def accepted(score: float, decision: CalibrationOut) -> bool | None:
    return None if decision.threshold is None else score >= decision.threshold


def supports(match: Match) -> list[SupportOut]:
    return [SupportOut(image_id=s.image_id, score=s.score, camera=s.camera) for s in match.images]


def timing(services: Services, watch: Stopwatch) -> Timing:
    for stage in STAGES:
        services.metrics.stage_seconds.labels(stage).observe(watch.seconds[stage])
    return Timing(**watch.milliseconds())


def _match(services: Services, match: Match, rank: int, height: int, decision: CalibrationOut) -> MatchOut:
    return MatchOut(
        rank=rank,
        identity=match.identity,
        score=match.score,
        probability=probability(services, match.score, height),
        match=accepted(match.score, decision),
        images=supports(match),
    )


def _check(services: Services, form: QueryForm) -> None:
    errors = []
    if form.top_k and form.top_k > services.settings.max_top_k:
        errors.append(FieldError(field="top_k", message=f"at most {services.settings.max_top_k}"))
    if form.since and form.until and form.since >= form.until:
        errors.append(FieldError(field="until", message="must be after since"))
    if errors:
        raise InvalidFields(errors)


def _filters(form: QueryForm) -> Filters:
    return Filters(
        cameras=frozenset(form.camera) or None,
        exclude_cameras=frozenset(form.exclude_camera),
        since=form.since,
        until=form.until,
        prefix=form.prefix,
        metadata=form.metadata or {},
    )


async def _pictures(services: Services, probes: Sequence[Embedded]) -> list[str | None]:
    return await services.pipeline.each(_png, [probe.crop.super_resolved for probe in probes])


def _png(pixels: Pixels | None) -> str | None:
    if pixels is None:
        return None
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
