"""What the commands share: where the service is, where its data is, and one sentence for what goes wrong."""

from pathlib import Path
from typing import Annotated

import httpx
import typer

from index.errors import GalleryError
from service.client import ServiceError

Url = Annotated[str, typer.Option(envvar="DGRL_URL", help="where the service listens")]
Key = Annotated[str | None, typer.Option(envvar="DGRL_KEY", help="an API key")]
DataDir = Annotated[Path | None, typer.Option(help="as given to `dgrl serve` (DGRL_DATA_DIR)")]

DEFAULT_URL = "http://127.0.0.1:8000"
_FAULT = 500  # from this status on the service's log says more, under the request's id


class Complaints:
    """One sentence and exit code 2 for what a person can put right. KeysError and SettingsError are ValueErrors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if (sentence := _sentence(error)) is not None:
            typer.echo(f"dgrl: {sentence}", err=True)
            raise typer.Exit(2) from error


def _sentence(error: BaseException | None) -> str | None:
    """None for what only a developer can put right."""
    match error:
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return f"--url takes an address such as {DEFAULT_URL}: {error}"
        case httpx.RequestError():
            at = error.request.url.copy_with(path="/", query=None)
            return f"no answer from {at} ({error}): start the service, or name another address with --url"
        case ServiceError(status=status, problem={"request_id": str(number)}) if status >= _FAULT:
            return f"{error}: {number}"
        case ServiceError() | GalleryError() | ValueError():
            return str(error)
        case OSError(filename=str(name), strerror=str(reason)):  # a broken pipe has no name
            return f"{name}: {reason}"
    return None
