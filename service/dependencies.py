"""What routes ask for, each under one name."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.params import Depends as DependsParam

from service.auth import Caller, require
from service.identity import MAX_LENGTH, check_name, from_segment
from service.keys import Scope
from service.problems import FieldError, InvalidFields
from service.services import Services
from service.timing import Stopwatch


async def _stopwatch(request: Request) -> Stopwatch:
    return Stopwatch(request.state.started)


_NAME = {"minLength": 1, "maxLength": MAX_LENGTH}  # once it is decoded


async def _identity(
    identity: Annotated[str, Path(description="percent-encoded; slashes as %2F", json_schema_extra=_NAME)],
) -> str:
    try:
        return check_name(from_segment(identity))
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


@dataclass(frozen=True, slots=True)
class Paging:
    cursor: str | None
    limit: int


def paging(*others: str) -> DependsParam:
    """`others`: the route's own query parameters. A misspelt one would give another page than was meant."""
    known = ["cursor", "limit", *others]

    async def read(
        request: Request,
        cursor: Annotated[
            str | None, Query(max_length=2048, description="`next_cursor` of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="entries in a page")] = 100,
    ) -> Paging:
        given = [name for name, _ in request.query_params.multi_items()]
        names = ", ".join(known)
        wrong = {name: f"no such parameter; there are: {names}" for name in given if name not in known}
        wrong |= {name: "given more than once" for name in known if given.count(name) > 1}
        if wrong:
            raise InvalidFields([FieldError(field=name, message=text) for name, text in wrong.items()])
        return Paging(cursor, limit)

    return DependsParam(read)


PagingDep = Annotated[Paging, paging()]
