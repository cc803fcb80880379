"""The folder that a report is saved to: written beside, then put in place, nothing old left."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPORT = "report.json"


def replace_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """Write a report to `folder` in place of the one that it holds, and return it.

    The new files are written beside the old ones first, so that what fails on the way leaves the
    old report whole. The files that the old `report.json` lists and the new one has no longer are
    removed; what is not listed is somebody else's and stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = _listed(folder)
    staged = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        write(staged)
        new = files_in(staged)
        # report.json last: where this is cut off, it still lists what was there.
        for name in sorted(new, key=lambda one: (one == REPORT, one)):
            (folder / name).parent.mkdir(exist_ok=True)
            (staged / name).replace(folder / name)
        for name in sorted(old - set(new)):
            (folder / name).unlink(missing_ok=True)
            if (folder / name).parent != folder and not any((folder / name).parent.iterdir()):
                (folder / name).parent.rmdir()
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def write_text(file: Path, text: str) -> None:
    """Write `text` as it is: CSV has line ends of its own, and half a character loses nothing."""
    file.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return a header and one line per row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def files_in(folder: Path) -> list[str]:
    """Return the paths of all files in a folder, as they stand in `report.json`."""
    found = (one for one in folder.rglob("*") if one.is_file())
    return sorted(one.relative_to(folder).as_posix() for one in found)


def _listed(folder: Path) -> set[str]:
    """Return the files that the report in `folder` says are its own; none where it says nothing."""
    try:
        listed = json.loads((folder / REPORT).read_text(encoding="utf-8"))["files"]
        inside = folder.resolve()
        return {one for one in listed if (folder / one).resolve().is_relative_to(inside)}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return set()
