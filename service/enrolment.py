"""POST /gallery: decode → quality → embed (HR stem) → one durable transaction → an answer for each image."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from index import Added, Enrolment, Image
from model.bundle.preprocessing import ImageError
from service.body import Upload
from service.deadline import Deadline
from service.media import media_type
from service.pipeline import Crop, Vector
from service.problems import Kind, Problem, kind_of
from service.schemas import EnrolForm, Enrolled, EnrolledImage, ImageRefusal, QualityOut
from service.services import Services
from service.shadow import embed_for_target, store_for_target


async def enrol(services: Services, form: EnrolForm, uploads: Sequence[Upload], actor: str) -> Enrolled:
    deadline = Deadline.of(services.settings.deadline_s)
    with services.admission.admit(len(uploads)):
        decoded = await services.pipeline.decode_gallery(uploads)
        taken = [
            (upload, crop) for upload, crop in zip(uploads, decoded, strict=True) if isinstance(crop, Crop)
        ]
        if not taken:
            _count(services, "rejected", len(uploads))
            raise _nothing_enrolled([_rejected(u, e) for u, e in _refused(uploads, decoded)])
        vectors = await services.pipeline.embed_gallery([crop for _, crop in taken], deadline)
        shadow = await embed_for_target(services, [upload for upload, _ in taken], deadline)
        deadline.check()  # past this line the work is stored and acknowledged, however long it takes
        async with services.storing.together():
            added = await services.in_store(_store, services, form, taken, vectors, actor)
            await store_for_target(services, added, shadow)
    return Enrolled(identity=form.identity, images=_outcomes(services, uploads, decoded, added))


def _store(
    services: Services,
    form: EnrolForm,
    taken: Sequence[tuple[Upload, Crop]],
    vectors: Sequence[Vector],
    actor: str,
) -> list[Added]:
    items = [_enrolment(services, form, u, c, v) for (u, c), v in zip(taken, vectors, strict=True)]
    return services.gallery.add(items, bundle_id=services.manifest.bundle_id, actor=actor)


def _enrolment(services: Services, form: EnrolForm, upload: Upload, crop: Crop, vector: Vector) -> Enrolment:
    quality = asdict(crop.quality)
    flags = quality.pop("flags")
    keep = services.settings.keep_images
    return Enrolment(
        identity=form.identity,
        vector=vector,
        content_hash=hashlib.sha256(upload.data).hexdigest(),
        camera=form.camera,
        captured_at=form.captured_at,
        metadata=form.metadata,
        filename=upload.filename,
        quality={name: float(value) for name, value in quality.items()},
        flagged=bool(flags),
        image=Image(upload.data, media_type(upload.data)) if keep else None,
    )


def _outcomes(
    services: Services,
    uploads: Sequence[Upload],
    decoded: Sequence[Crop | ImageError],
    added: Sequence[Added],
) -> list[EnrolledImage]:
    stored = iter(added)
    answers = []
    for upload, crop in zip(uploads, decoded, strict=True):
        answers.append(
            _accepted(upload, crop, next(stored)) if isinstance(crop, Crop) else _rejected(upload, crop)
        )
        _count(services, answers[-1].status, 1)
    return answers


def _accepted(upload: Upload, crop: Crop, added: Added) -> EnrolledImage:
    return EnrolledImage(
        filename=upload.filename,
        image_id=added.image_id,
        status="duplicate" if added.duplicate else "enrolled",
        quality=QualityOut.of(crop.quality),
    )


def _rejected(upload: Upload, error: ImageError) -> EnrolledImage:
    kind = kind_of(error)
    refusal = ImageRefusal(type=kind.type, title=kind.title, detail=str(error))
    return EnrolledImage(filename=upload.filename, status="rejected", error=refusal)


def _refused(
    uploads: Sequence[Upload], decoded: Sequence[Crop | ImageError]
) -> list[tuple[Upload, ImageError]]:
    return [(u, e) for u, e in zip(uploads, decoded, strict=True) if isinstance(e, ImageError)]


def _nothing_enrolled(images: list[EnrolledImage]) -> Problem:
    """The images' own problem where they share one, so that a single bad file is named for what it is."""
    errors = [image.error for image in images if image.error]
    kinds = {error.type for error in errors}
    shared = next(k for k in Kind if k.type == errors[0].type) if len(kinds) == 1 else Kind.NOTHING_ENROLLED
    detail = "; ".join(dict.fromkeys(error.detail for error in errors))
    return Problem(shared, detail, images=[image.model_dump(mode="json") for image in images])


def _count(services: Services, outcome: str, images: int) -> None:
    services.metrics.images.labels(outcome).inc(images)
