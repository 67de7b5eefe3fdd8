"""Who is enrolled: add, list, rename, remove."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.body import ImageCount, openapi_body, read_form
from service.current import with_current_bundle
from service.dependencies import Admin, Enroller, IdentityDep, Paging, PagingDep, Reader, ServicesDep, paging
from service.enrolment import enrol
from service.problems import Kind, Problem, responses
from service.schemas import (
    EnrolForm,
    Enrolled,
    Identities,
    IdentityImages,
    IdentityOut,
    ImageOut,
    Prefix,
    Renamed,
    RenameForm,
)

router = APIRouter(tags=["gallery"])

_IMAGES = ImageCount(1, 10_000)  # the setting max_images is usually lower
_NO_IMAGES = ImageCount(0, 0)
_BAD_IMAGES = (
    Kind.IMAGE_UNDECODABLE,
    Kind.IMAGE_TOO_SMALL,
    Kind.IMAGE_TOO_MANY_PIXELS,
    Kind.NOTHING_ENROLLED,
    Kind.UNSUPPORTED_MEDIA_TYPE,
)


@router.post(
    "/gallery",
    status_code=201,
    responses=responses(*_BAD_IMAGES, Kind.BUNDLE_MISMATCH, Kind.STORAGE_FULL),
    openapi_extra=openapi_body(EnrolForm, _IMAGES),
)
async def enrol_images(request: Request, services: ServicesDep, caller: Enroller) -> Enrolled:
    """Enrols images of one person, one crop each. A file that the identity already has is a `duplicate`."""
    count = ImageCount(1, services.settings.max_images)
    form, uploads = await read_form(request, EnrolForm, count)
    return await with_current_bundle(request, lambda services: enrol(services, form, uploads, caller.actor))


@router.get("/gallery", responses=responses(Kind.INVALID_FIELDS))
async def list_identities(
    services: ServicesDep,
    _: Reader,
    page: Annotated[Paging, paging("prefix")],
    prefix: Annotated[Prefix, Query(description="only identities that start so")] = "",
) -> Identities:
    listed = await services.in_store(services.gallery.identities, page.cursor, page.limit, prefix)
    found = [IdentityOut(identity=i.identity, images=i.images, cameras=list(i.cameras)) for i in listed.items]
    return Identities(identities=found, next_cursor=listed.next_cursor)


@router.get("/gallery/{identity}", responses=responses(Kind.UNKNOWN_IDENTITY))
async def list_images(
    identity: IdentityDep, services: ServicesDep, _: Reader, page: PagingDep
) -> IdentityImages:
    listed = await services.in_store(services.gallery.images, identity, page.cursor, page.limit)
    found = [
        ImageOut(
            image_id=record.image_id,
            camera=record.camera,
            captured_at=record.captured_at,
            enrolled_at=record.enrolled_at,
            metadata=record.metadata,
            filename=record.filename,
            quality=record.quality,
            flagged=record.flagged,
            sha256=record.content_hash,
            media_type=record.media_type,
        )
        for record in listed.items
    ]
    return IdentityImages(identity=identity, images=found, next_cursor=listed.next_cursor)


@router.patch(
    "/gallery/{identity}",
    responses=responses(Kind.UNKNOWN_IDENTITY, Kind.UNSUPPORTED_MEDIA_TYPE),
    openapi_extra=openapi_body(RenameForm, _NO_IMAGES),
)
async def rename(identity: IdentityDep, request: Request, services: ServicesDep, caller: Admin) -> Renamed:
    """Renames; where the new name exists the two become one."""
    form, _ = await read_form(request, RenameForm, _NO_IMAGES)
    moved = await services.in_store(services.gallery.rename, identity, form.identity, actor=caller.actor)
    return Renamed(identity=form.identity, images=moved)


@router.delete("/gallery/{identity}", status_code=204, responses=responses(Kind.UNKNOWN_IDENTITY))
async def remove_identity(identity: IdentityDep, services: ServicesDep, caller: Admin) -> None:
    if not await services.in_store(services.gallery.remove_identity, identity, actor=caller.actor):
        raise Problem(Kind.UNKNOWN_IDENTITY, f"no identity {identity!r}")


@router.get(
    "/gallery/{identity}/images/{image_id}",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
        **responses(Kind.UNKNOWN_IDENTITY, Kind.UNKNOWN_IMAGE),
    },
)
async def stored_image(identity: IdentityDep, image_id: str, services: ServicesDep, _: Reader) -> Response:
    """The picture as it was uploaded, where pictures are kept."""
    image = await services.in_store(services.gallery.image, identity, image_id)
    if image is None:
        raise Problem(Kind.UNKNOWN_IMAGE, "this gallery keeps no pictures")
    return Response(image.data, media_type=image.media_type, headers={"Content-Disposition": "inline"})


@router.delete(
    "/gallery/{identity}/images/{image_id}",
    status_code=204,
    responses=responses(Kind.UNKNOWN_IDENTITY, Kind.UNKNOWN_IMAGE),
)
async def remove_image(identity: IdentityDep, image_id: str, services: ServicesDep, caller: Admin) -> None:
    if not await services.in_store(services.gallery.remove_image, identity, image_id, actor=caller.actor):
        raise Problem(Kind.UNKNOWN_IMAGE, f"no image {image_id!r} of {identity!r}")
