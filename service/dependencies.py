"""What routes ask for, each under one name."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from service.auth import Caller, require
from service.identity import check_identity, from_segment
from service.keys import Scope
from service.problems import FieldError, InvalidFields
from service.services import Services
from service.timing import Stopwatch


async def _stopwatch(request: Request) -> Stopwatch:
    return Stopwatch(request.state.started)


async def _identity(identity: Annotated[str, Path(description="percent-encoded; slashes as %2F")]) -> str:
    try:
        return check_identity(from_segment(identity))
    except ValueError as error:
        raise InvalidFields([FieldError(field="identity", message=str(error))]) from None


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
StopwatchDep = Annotated[Stopwatch, Depends(_stopwatch)]
IdentityDep = Annotated[str, Depends(_identity)]

Reader = Annotated[Caller, require(Scope.READ)]
Enroller = Annotated[Caller, require(Scope.ENROL)]
Admin = Annotated[Caller, require(Scope.ADMIN)]

Cursor = Annotated[str | None, Query(max_length=2048, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000, description="entries in a page")]
