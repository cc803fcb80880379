"""Which files below a folder are read, and what is said of the others."""

from __future__ import annotations

import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from langchain_rerank.errors import DataFileError, RerankWarning, see
from langchain_rerank.reading import is_saved_dataset
from langchain_rerank.reading.text import is_folder

if TYPE_CHECKING:
    from langchain_core.documents import Document

MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx")
TEXT_SUFFIXES = (".txt", *MARKDOWN_SUFFIXES, ".rst", ".adoc", ".org")
HTML_SUFFIXES = (".html", ".htm")
FOLDER_SUFFIXES = (*TEXT_SUFFIXES, *HTML_SUFFIXES, ".pdf", ".docx", ".jsonl", ".json")
"""What is read of a folder; a file that is named itself may have any suffix."""

UNREAD_PAGES = "pages_without_text"
"""The metadata of a PDF's passages that says how many of its pages have no text, and which."""

MOST_NAMED = 10  # of what is left out

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class Found(NamedTuple):
    """A file to read.

    Attributes:
        path: Where it is.
        source: What it is called in metadata: its path below the folder, or its name.
        stat: Its size and times.
    """

    path: Path
    source: str
    stat: os.stat_result


@dataclass
class LeftOut:
    """What is not read below a folder, for one warning.

    Attributes:
        errors: What should have been read and cannot be.
        others: How many files of each other suffix there are.
        again: How many files were found under an earlier path already.
        pages: Files with pages that have no text, and which pages.
    """

    errors: list[DataFileError] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    again: int = 0
    pages: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path | str, why: str) -> None:
        """Note a file that should have been read and cannot be."""
        self.errors.append(DataFileError(why, path=path))

    def look_at(self, file: Found, documents: Sequence[Document]) -> None:
        """Note which pages of a file have no text."""
        if documents and file.path.suffix.lower() == ".pdf":
            pages = documents[0].metadata.get(UNREAD_PAGES)
            if pages is not None:
                self.pages[file.source] = pages

    def warn(self, root: Path, *, stacklevel: int) -> None:
        """Warn of it in one message, if there is anything."""
        lines = [f"\n  {error}" for error in self.errors[:MOST_NAMED]]
        if len(self.errors) > MOST_NAMED:
            lines.append(f"\n  and {len(self.errors) - MOST_NAMED} more")
        if self.others:
            kinds = [f"{n} {name}" for name, n in self.others.most_common(MOST_NAMED)]
            more = [] if len(self.others) <= MOST_NAMED else ["and others"]
            lines.append(
                f"\n  {self.others.total()} of kinds that are not read: {', '.join(kinds + more)}"
            )
        for source, pages in [*self.pages.items()][:MOST_NAMED]:
            lines.append(f"\n  {source}: pages without text: {pages}; they are pictures, or empty")
        if len(self.pages) > MOST_NAMED:
            lines.append(f"\n  pages of {len(self.pages) - MOST_NAMED} more files")
        if lines:
            warnings.warn(
                f"What cannot be read below {root} is left out:{''.join(lines)}\n"
                f"{see('files-left-out')}",
                RerankWarning,
                stacklevel=stacklevel + 1,
            )


def files_below(
    roots: Sequence[Path], *, follow_symlinks: bool = False
) -> Iterator[tuple[Path, list[Found], LeftOut]]:
    """Yield each of `roots` with the files to read there, by path, and what is left out.

    Only regular files are read, and only those inside the folder: a link that leads out of it is
    left out unless `follow_symlinks`. Links in a circle end where they meet themselves. What is
    named itself is read wherever it is. A file below two of `roots` belongs to the first.

    Raises:
        DataFileError: One of `roots` is missing, or neither a regular file nor a folder.
    """
    seen: set[str] = set()
    earlier: set[tuple[int, int]] = set()
    for root in roots:
        left_out = LeftOut()
        if not is_folder(root) or is_saved_dataset(root):
            found = [(root, root.name, _named(root))]
        else:
            found = list(_walk(root, left_out, follow_symlinks=follow_symlinks))
        files = []
        here = {(facts.st_dev, facts.st_ino) for _, _, facts in found}
        for path, source, facts in found:
            if (facts.st_dev, facts.st_ino) in earlier:
                left_out.again += 1
                continue
            # Two folders may hold files of one name: what is listed must stay apart.
            files.append(Found(path, path.as_posix() if source in seen else source, facts))
            seen.add(files[-1].source)
        earlier |= here
        yield root, files, left_out


def _named(path: Path) -> os.stat_result:
    try:
        facts = path.stat()
    except OSError as error:
        said = (
            "no such file or folder; check the spelling, or give the full path"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read: {error.strerror}"
        )
        raise DataFileError(said, path=path) from error
    except ValueError as error:  # a name that no file can have
        raise DataFileError(f"this is no path ({error})", path=ascii(str(path))) from error
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        raise DataFileError(
            f"{_KINDS.get(stat.S_IFMT(facts.st_mode), 'no regular file')}, which may never end; "
            f"save what it gives to a file first",
            path=path,
        )
    return facts


def _walk(
    root: Path, left_out: LeftOut, *, follow_symlinks: bool
) -> list[tuple[Path, str, os.stat_result]]:
    inside = root.resolve()
    found: list[tuple[Path, str, os.stat_result]] = []
    read: set[tuple[int, int]] = set()
    # Links last: one to what is read anyway adds nothing but a second name.
    entries = _entries(root, left_out, follow_symlinks=follow_symlinks)
    for path in sorted(entries, key=Path.is_symlink):
        is_link = path.is_symlink()
        if is_link and not follow_symlinks and not _is_inside(path, inside, left_out):
            continue
        facts = _regular(path, left_out)
        if facts is not None and not (is_link and (facts.st_dev, facts.st_ino) in read):
            found.append((path, path.relative_to(root).as_posix(), facts))
            read.add((facts.st_dev, facts.st_ino))
    return sorted(found, key=lambda one: one[0])


def _is_inside(link: Path, inside: Path, left_out: LeftOut) -> bool:
    """Return whether a link leads to something below `inside`; what does not is left out."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle, before Python 3.13
        said = getattr(error, "strerror", None) or "the link leads to itself"
        left_out.add(link, f"cannot be read: {said}")
        return False
    if target.is_relative_to(inside):
        return True
    left_out.add(
        link,
        f"a link out of the folder, to {target}; --follow-symlinks (follow_symlinks=True) reads it",
    )
    return False


def _regular(path: Path, left_out: LeftOut) -> os.stat_result | None:
    try:
        return _named(path)
    except DataFileError as error:
        left_out.errors.append(error)
        return None


def _entries(root: Path, left_out: LeftOut, *, follow_symlinks: bool) -> Iterator[Path]:
    """Yield the files of known suffixes below a folder, links among them; hidden ones are not."""

    def unlisted(error: OSError) -> None:
        left_out.add(error.filename, f"cannot be read: {error.strerror}")

    inside = root.resolve()
    entered = {inside}
    for folder, folders, names in os.walk(root, onerror=unlisted, followlinks=follow_symlinks):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".")
            and _enters(Path(folder, name), inside, entered, left_out, follow=follow_symlinks)
        ]
        for name in sorted(names):
            path, suffix = Path(folder, name), Path(name).suffix.lower()
            if name.startswith("."):
                continue
            # A link that leads nowhere may have meant anything.
            if suffix in FOLDER_SUFFIXES or (path.is_symlink() and not _leads_somewhere(path)):
                yield path
            else:
                left_out.others[suffix or "without a suffix"] += 1


def _leads_somewhere(link: Path) -> bool:
    try:
        return link.exists()
    except OSError:  # into a folder without permission
        return False


def _enters(
    path: Path, inside: Path, entered: set[Path], left_out: LeftOut, *, follow: bool
) -> bool:
    """Return whether a folder is walked through, which each is once."""
    is_link = path.is_symlink()
    target = path.resolve() if follow or is_link else path
    if is_link and path.parent.resolve().is_relative_to(target):
        left_out.add(path, f"a circle of links: it leads to {target}, which holds it")
        return False
    if is_link and not follow:
        # What is inside is walked through anyway.
        _is_inside(path, inside, left_out)
        return False
    fresh = target not in entered
    entered.add(target)
    return fresh
