"""A request that the change of the bundle overtakes is done again with the new one."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from index import WrongBundle
from service.services import Services

R = TypeVar("R")


async def with_current_bundle(request: Request, work: Callable[[Services], Awaitable[R]]) -> R:
    """`work` with the services of now; once more if their bundle has been switched before it was through."""
    services: Services = request.app.state.services
    try:
        return await work(services)
    except WrongBundle:
        async with services.storing.together():  # the switch that is under way has it alone, to its end
            current: Services = request.app.state.services
        if current.model is services.model:
            raise
        return await work(current)
