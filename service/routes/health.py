"""For those who run the service: alive, ready, metrics."""

from fastapi import APIRouter, Request, Response

from service.auth import Presented
from service.dependencies import ServicesDep
from service.problems import Kind, Problem, responses
from service.schemas_health import Alive, Ready

router = APIRouter(tags=["operation"])


@router.get("/livez")
async def livez() -> Alive:
    return Alive()


@router.get("/readyz", responses=responses(Kind.UNAVAILABLE))
async def readyz(request: Request) -> Ready:
    """Runs every kind of session once, but for those that requests keep at work, and searches the gallery."""
    answer: Ready = await request.app.state.readiness.check()
    if answer.status != "ready":
        failed = [name for name, check in answer.checks.items() if not check.ok]
        raise Problem(
            Kind.UNAVAILABLE, f"not ready: {', '.join(failed)}", checks=answer.model_dump()["checks"]
        )
    return answer


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, services: ServicesDep, presented: Presented) -> Response:
    """For Prometheus; with a key, unless the setting metrics_open is on."""
    if not services.settings.metrics_open:
        services.gate.admit(request, presented)  # any key may read
    text = await services.in_store(services.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
