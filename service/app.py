"""The application: one factory, where everything that a route needs is put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware

from service import problems
from service.limits import BodyLimit
from service.openapi import Api
from service.paths import KeepSlashes
from service.problems import Kind
from service.readiness import Readiness
from service.reembedding import Reembedder
from service.requests import Requests
from service.routes import audit, embed, gallery, health, model, pages, query, reembedding, verify
from service.settings import Settings
from service.startup import open_services
from service.version import version

log = logging.getLogger("dgrl.service")

_ROUTERS = [
    module.router for module in (gallery, query, verify, embed, audit, reembedding, health, model, pages)
]
_EVERYWHERE = (
    Kind.INVALID_REQUEST,
    Kind.UNAUTHENTICATED,
    Kind.FORBIDDEN,
    Kind.BODY_TOO_LARGE,
    Kind.INVALID_FIELDS,
    Kind.QUEUE_FULL,
    Kind.INTERNAL_ERROR,
    Kind.UNAVAILABLE,
    Kind.DEADLINE_EXCEEDED,
)


def create_app(settings: Settings) -> FastAPI:
    """Opens nothing yet: bundle, sessions and gallery belong to the lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = open_services(settings)
        app.state.readiness = Readiness(lambda: app.state.services)
        app.state.reembedder = Reembedder(app.state)
        try:
            await app.state.reembedder.resume()
            yield
        finally:
            await app.state.reembedder.stop()
            app.state.services.close()
            log.info("closed")

    app = Api(
        title="DGRL",
        summary="Who in my gallery is this low-resolution person?",
        version=version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.responses(*_EVERYWHERE),
        generate_unique_id_function=_operation_id,
        middleware=[
            Middleware(KeepSlashes),
            Middleware(Requests),
            Middleware(BodyLimit, limits=settings.body_limits),
        ],
    )
    app.state.settings = settings
    problems.install(app, _methods)
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app


def _methods(path: str) -> list[str]:
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(found) or ["GET", "HEAD"]  # of what is no operation: static files and openapi.json


def _operation_id(route: APIRoute) -> str:
    return route.name
