"""The web page and the API reference: static files of this package, nothing from elsewhere."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STATIC = files("service") / "static"


@router.get("/", response_class=HTMLResponse)
async def index() -> str:
    return (_STATIC / "index.html").read_text(encoding="utf-8")


@router.get("/docs", response_class=HTMLResponse)
async def docs() -> str:
    return (_STATIC / "docs.html").read_text(encoding="utf-8")
