"""POST /verify: image against image, image against identity, or a vector against identity."""

from collections.abc import Sequence

import numpy as np

from index import Filters, Match
from service.body import Upload
from service.deadline import Deadline
from service.pipeline import Embedded, Vector
from service.problems import FieldError, InvalidFields, Kind, Problem
from service.querying import accepted, calibration, probability, probe_out, supports, timing
from service.schemas_query import VerifyAnswer, VerifyForm
from service.services import Services
from service.timing import Stopwatch

_UNIT_TOLERANCE = 1e-2


async def verify(
    services: Services, form: VerifyForm, uploads: Sequence[Upload], watch: Stopwatch, actor: str
) -> VerifyAnswer:
    _check(form, len(uploads))
    given = None if form.embedding is None else _vector(services, form)
    deadline = Deadline.of(services.settings.deadline_s)
    with services.admission.admit(max(1, len(uploads))):
        probes = await services.pipeline.embed_probes(uploads, form.super_resolution, deadline, watch)
        deadline.check()
        first = probes[0].vector if given is None else given
        match = None
        if form.identity is None:
            score = float(np.clip(first @ probes[1].vector, -1, 1))
        else:
            with watch.stage("search"):
                match = await services.in_store(_search, services, first, form.identity, actor)
            score = match.score
    return _answer(services, form, probes, score, match, watch)


def _answer(
    services: Services,
    form: VerifyForm,
    probes: Sequence[Embedded],
    score: float,
    match: Match | None,
    watch: Stopwatch,
) -> VerifyAnswer:
    height = min((probe.crop.quality.height for probe in probes), default=None)
    decision = calibration(services, height)
    return VerifyAnswer(
        same=accepted(score, decision),
        score=score,
        probability=probability(services, score, height),
        identity=form.identity,
        images=supports(match) if match else [],
        probes=[probe_out(probe) for probe in probes],
        calibration=decision,
        bundle=services.manifest.bundle_id,
        timing_ms=timing(services, watch),
    )


def _search(services: Services, vector: Vector, identity: str, actor: str) -> Match:
    services.gallery.images(identity, limit=1)  # UnknownIdentity where there is none
    filters = Filters(identities=frozenset({identity}))
    [matches] = services.gallery.search(
        vector[np.newaxis], 1, filters=filters, bundle_id=services.manifest.bundle_id, actor=actor
    )
    if not matches:
        raise Problem(Kind.UNKNOWN_IDENTITY, f"{identity!r} was removed meanwhile")
    return matches[0]


def _check(form: VerifyForm, images: int) -> None:
    sides = images + (form.identity is not None) + (form.embedding is not None)
    if sides != 2 or (form.identity is None and images != 2):
        text = "give two images, or an image and an identity, or an embedding and an identity"
        raise InvalidFields([FieldError(field="images", message=text)])


def _vector(services: Services, form: VerifyForm) -> Vector:
    if form.bundle is None:
        raise InvalidFields(
            [FieldError(field="bundle", message="the bundle id that came with the embedding is needed")]
        )
    if form.bundle != services.manifest.bundle_id:
        text = f"the embedding is of bundle {form.bundle}; this service runs {services.manifest.bundle_id}"
        raise Problem(Kind.BUNDLE_MISMATCH, text)
    vector = np.asarray(form.embedding, np.float32)
    dimension = services.manifest.dimension
    if vector.shape != (dimension,) or not abs(float(np.linalg.norm(vector)) - 1) <= _UNIT_TOLERANCE:
        text = f"expected {dimension} numbers of unit length"
        raise InvalidFields([FieldError(field="embedding", message=text)])
    return vector
