"""`dgrl audit`: the audit log, line by line."""

import json
from typing import Annotated

import typer

from service.cli_common import DEFAULT_URL, Complaints, Key, Url
from service.client import Client


def audit(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Print who enrolled, searched, renamed and deleted, from the oldest line to the newest."""
    with Complaints(), Client(url, key) as client:
        for line in client.audit():
            if as_json:
                typer.echo(line.model_dump_json())
                continue
            detail = json.dumps(line.detail, ensure_ascii=False)
            typer.echo(f"{line.at:%Y-%m-%d %H:%M:%S}Z  {line.actor or '-'}  {line.action}  {detail}")
