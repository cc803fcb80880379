"""`langchain-rerank cache`: what is kept between runs, shown, made smaller or removed."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sqlite3
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from langchain_rerank.cli.indexing import several
from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.plain_text import printable

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


class Action(StrEnum):
    """What is done with what is kept."""

    show = "show"
    prune = "prune"
    clear = "clear"


def cache(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.show,
    days: Annotated[
        int | None,
        typer.Option(min=0, help="prune: remove what was not used for so many days."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="prune: remove the oldest until this is left, such as 500MB or 2GB."),
    ] = None,
) -> None:
    """Show what is kept of files, texts and models between runs; prune or clear it.

    The index of search and the embeddings of the evaluating commands are
    one store. Everything in it can be made again from your files.
    """
    from langchain_rerank.first_stage.kept.database import set_aside_as
    from langchain_rerank.first_stage.kept.store import default_store
    from langchain_rerank.user_cache import cache_folder

    console = Console()
    if (days is not None or size is not None) and action is not Action.prune:
        raise ConfigurationError("--days and --size belong to prune: cache prune --days 30.")
    if action is Action.prune and days is None and size is None:
        raise ConfigurationError("Say what to prune: --days 30, --size 500MB, or both.")
    limit = None if size is None else bytes_of(size)
    path = default_store()
    if action is Action.clear:
        # Blocks of embeddings that versions before 0.2 kept.
        shutil.rmtree(cache_folder("embeddings"), ignore_errors=True)
    _keep_up(console, path, action, days, limit)
    aside = set_aside_as(path)
    if action is Action.clear and aside.exists():
        aside.unlink()
    if aside.exists():
        _line(console, f"{aside}: {_readable(aside.stat().st_size)} (cache clear removes it)")
    _show_others(console, cache_folder("x").parent, path)


def _keep_up(
    console: Console, path: Path, action: Action, days: int | None, size: int | None
) -> None:
    """Do with the index at `path` what was asked for, and show what there is then.

    Raises:
        DataFileError: It cannot be used, or only be cleared.
    """
    from langchain_rerank.first_stage.kept import upkeep
    from langchain_rerank.first_stage.kept.database import is_damage
    from langchain_rerank.first_stage.kept.store import Store

    if not path.exists():
        console.print("Nothing is kept.", highlight=False)
        return
    try:
        with contextlib.closing(Store(path)) as store:
            if action is Action.clear:
                upkeep.clear(store)
            elif action is Action.prune:
                removed = upkeep.prune(store, days=days, size=size)
                console.print(f"{removed:,} texts removed.", highlight=False)
            _line(console, f"{path}: {_readable(upkeep.size_of(store))}")
            for root, files, passages, day in upkeep.roots(store):
                used = dt.date(1970, 1, 1) + dt.timedelta(days=day)
                held = f"{several(files, 'file')}, {several(passages, 'passage')}"
                _line(console, f"  {root}: {held}, used {used}")
            for key, vectors in upkeep.models(store):
                _line(console, f"  {_model_name(key)}: {several(vectors, 'embedding')}")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise DataFileError(
                f"the kept index cannot be used now ({error}). Where another program uses it, try "
                f"again when that has ended.",
                path=path,
            ) from error
        if action is not Action.clear:
            raise DataFileError(
                f"the kept index is damaged or of another version ({error}). The next search "
                f"begins a new one; cache clear removes it now.",
                path=path,
            ) from error
        path.unlink()
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        console.print("Nothing is kept: it was damaged, and is removed.", highlight=False)


def bytes_of(size: str) -> int:
    """Return the bytes that a size says.

    Raises:
        ConfigurationError: It is no size.

    Examples:
        >>> bytes_of("500MB"), bytes_of("1.5 gb"), bytes_of("2000")
        (500000000, 1500000000, 2000)
    """
    text = size.strip().upper()
    unit = next((one for one in _UNITS if text.endswith(one)), "")
    try:
        value = float(text.removesuffix(unit)) * _UNITS.get(unit, 1)
        if not 0 <= value < 1e18:
            raise ValueError(size)  # noqa: TRY301 - one message for all that is no size
    except ValueError as error:
        raise ConfigurationError(
            f"--size {size!r}: a number with KB, MB or GB was expected, as in 500MB."
        ) from error
    return int(value)


def _show_others(console: Console, folder: Path, store: Path) -> None:
    """Show what else this package keeps, which has no upkeep here."""
    if not folder.is_dir():
        return
    for one in sorted(folder.iterdir()):
        size = sum(file.stat().st_size for file in one.rglob("*") if file.is_file())
        if one != store.parent and size:
            _line(console, f"{one}: {_readable(size)} (remove the folder to free it)")


def _model_name(key: str) -> str:
    """Return the name or the folder that tells a model from others."""
    try:
        found = json.loads(key)
    except ValueError:
        return key
    return str(found[0]) if isinstance(found, list) and found else key


def _line(console: Console, text: str) -> None:
    text = printable(text.encode("utf-8", "replace").decode())
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _readable(size: int) -> str:
    return f"{size / 10**6:,.1f} MB"
