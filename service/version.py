"""The version of the installed package."""

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("dgrl")
    except metadata.PackageNotFoundError:
        return "0+not-installed"  # run from a checkout
