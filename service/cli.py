"""The command line, `dgrl`: the service itself, and what talks to it or works on its data."""

from pathlib import Path
from typing import Annotated

import typer

from service import cli_audit, cli_backup, cli_enrol, cli_keys, cli_migrate, cli_query, cli_reembed
from service.demo.__main__ import demo
from service.version import version

app = typer.Typer(
    help="Cross-resolution person re-identification.", no_args_is_help=True, add_completion=False
)
app.add_typer(cli_keys.app, name="keys", help="Who may use the service.")
app.command("enrol")(cli_enrol.enrol)
app.command("query")(cli_query.query)
app.command("audit")(cli_audit.audit)
app.command("backup")(cli_backup.backup)
app.command("restore")(cli_backup.restore)
app.command("migrate")(cli_migrate.migrate)
app.command("reembed")(cli_reembed.reembed)
app.command("demo")(demo)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on (DGRL_HOST)")] = None,
    port: Annotated[int | None, typer.Option(help="port; 0 takes a free one (DGRL_PORT)")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="gallery and keys (DGRL_DATA_DIR)")] = None,
    bundle: Annotated[Path | None, typer.Option(help="folder of the model bundle (DGRL_BUNDLE)")] = None,
) -> None:
    """Run the service. All settings are DGRL_ environment variables: see `dgrl settings`."""
    from service.server import serve as run
    from service.settings import SettingsError, load_settings
    from service.startup import StartupError

    try:
        run(load_settings(host=host, port=port, data_dir=data_dir, bundle=bundle))
    except (SettingsError, StartupError) as error:
        typer.echo(f"dgrl: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def settings() -> None:
    """List every setting with its default."""
    from service.settings import describe

    for line in describe():
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Print versions and what this machine offers; exit 1 where something is missing."""
    from service.doctor import examine

    report = examine()
    for name, value in report.facts.items():
        typer.echo(f"{name:<24} {value}")
    for complaint in report.complaints:
        typer.echo(f"problem: {complaint}", err=True)
    raise typer.Exit(1 if report.complaints else 0)


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(version())


if __name__ == "__main__":
    app()
