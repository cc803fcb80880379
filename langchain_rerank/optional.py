"""Optional packages, imported on use."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from langchain_rerank.errors import MissingExtraError, see


def require(module: str, *, extra: str) -> Any:
    """Return the imported `module`, or say how to install it.

    Args:
        module: Dotted name of the module to import.
        extra: The extra of this package that brings it.

    Raises:
        MissingExtraError: The module, or the package that holds it, is not installed. A module that
            is there but fails on an import of its own keeps its own error.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise _missing(error.name, extra) from error


def require_installed(package: str, *, extra: str) -> None:
    """Say how to install a package that another process will import.

    Raises:
        MissingExtraError: It is not installed.
    """
    if version_of(package) is None:
        raise _missing(package, extra)


def _missing(package: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"This needs the package {package!r}, which is not installed. "
        f"Install it with: pip install 'langchain-rerank[{extra}]'. "
        f"{see('a-package-is-missing')}",
        name=package,
    )


def versions(packages: Iterable[str]) -> str:
    """Return which versions of packages are installed, to tell apart what they made."""
    return ", ".join(f"{package} {version_of(package)}" for package in packages)


def version_of(package: str) -> str | None:
    """Return which version of a package is installed, without importing it; None for none.

    One that is missing is looked for anew: it may be installed meanwhile, from a notebook.
    """
    try:
        return _version(package)
    except PackageNotFoundError:
        return None


_version = cache(version)
