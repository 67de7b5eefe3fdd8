"""The OpenAPI document, with the schema of the problems that every route may answer with."""

from typing import Any

from fastapi import FastAPI

from service.problems import ProblemDetails

_REFERENCE = "#/components/schemas/{model}"


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            problem = ProblemDetails.model_json_schema(ref_template=_REFERENCE)
            schemas |= problem.pop("$defs", {})
            schemas["ProblemDetails"] = problem
        assert self.openapi_schema is not None
        return self.openapi_schema
