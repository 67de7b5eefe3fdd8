"""The OpenAPI document, with the schema of the problems that every route may answer with."""

from typing import Any

from fastapi import FastAPI

from service.problems import ProblemDetails

_REFERENCE = "#/components/schemas/{model}"


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = ProblemDetails.model_json_schema(ref_template=_REFERENCE)
            schemas |= problem.pop("$defs", {})
            schemas["ProblemDetails"] = problem
            _limit_images(document, self.state.settings.max_images)
            self.openapi_schema = document
        return self.openapi_schema


def _limit_images(document: dict[str, Any], most: int) -> None:
    """The routes are made before the settings are known."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if images := content["schema"].get("properties", {}).get("images"):
                images["maxItems"] = min(images["maxItems"], most)
