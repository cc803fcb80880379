"""The text of a file, in the encoding that it has or that was named."""

from __future__ import annotations

import codecs
import gzip
import stat
import zlib
from contextlib import suppress
from pathlib import Path

from langchain_rerank.errors import ConfigurationError, DataFileError, MissingExtraError
from langchain_rerank.optional import require

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP = b"\x1f\x8b"
_SAMPLE = 20_000  # bytes that are looked at for the hint in a message


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; no where that cannot be seen, as without permission."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; no where that cannot be seen."""
    return stat.S_ISREG(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return 0


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is gzip.

    Raises:
        DataFileError: It cannot be read, or its gzip is damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFileError(
            f"its gzip is damaged ({error}); pack or download it again", path=path
        ) from error
    except ValueError as error:  # a name that no file can have
        raise DataFileError(f"this is no path ({error})", path=ascii(str(path))) from error
    except OSError as error:
        raise DataFileError(
            f"It cannot be read ({error.strerror}); is the path right?", path=path
        ) from error


def read_text(path: Path, *, encoding: str | None = None) -> str:
    """Return the text of a file, packed by gzip or not.

    Args:
        path: The file.
        encoding: Its encoding. None is what its byte order mark says, else UTF-8.

    Raises:
        DataFileError: It cannot be read, or is not in that encoding; the message says which one
            it may be in.
        ConfigurationError: There is no such encoding.
    """
    data = read_bytes(path)
    if encoding is not None:
        check_encoding(encoding)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    # A mark is no part of the text, also where UTF-8 or UTF-16 was named.
    chosen = encoding or marked or "utf-8"
    try:
        text = data.decode(chosen)
    except UnicodeError as error:
        raise DataFileError(_not_in(chosen, data, error, named=encoding), path=path) from error
    if "\0" in text:
        raise DataFileError(
            "It holds NUL characters: it is no text, or UTF-16 without a byte order mark; name "
            "that with encoding='utf-16-le' (on the command line --encoding utf-16-le).",
            path=path,
        )
    return text.removeprefix("\ufeff")


def check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of texts.

    Raises:
        ConfigurationError: Python knows no such encoding.
    """
    try:
        "a".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"There is no encoding {encoding!r}; name one that Python knows, for instance utf-8, "
            f"cp1252, utf-16 or gb18030."
        ) from error


def _not_in(chosen: str, data: bytes, error: UnicodeError, *, named: str | None) -> str:
    where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else f" ({error})"
    likely = _likely(data)
    hint = f"; it may be {likely}" if likely else ""
    example = likely or "cp1252"
    if named:
        return f"It is not {named}{where}{hint}. Name the encoding that it was saved in."
    shown = "UTF-8" if chosen.startswith("utf-8") else chosen
    return (
        f"It is not {shown}{where}{hint}. If so, say encoding={example!r} (on the command line "
        f"--encoding {example}); else save it as UTF-8."
    )


def _likely(data: bytes) -> str | None:
    """Return the encoding that the bytes look like, for a message only: short texts mislead."""
    with suppress(MissingExtraError):
        found = require("charset_normalizer", extra="eval").from_bytes(data[:_SAMPLE]).best()
        return None if found is None else str(found.encoding)
    return None
