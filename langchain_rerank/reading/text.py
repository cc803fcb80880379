"""The text of a file, in the encoding that it has or that was named."""

from __future__ import annotations

import codecs
import gzip
import stat
import zlib
from collections.abc import Callable
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
# For the hint in a message: bytes that are looked at, and how many of them have to be no ASCII.
_SAMPLE, _TELLING = 20_000, 32


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


def read_text(
    path: Path,
    *,
    encoding: str | None = None,
    declared: Callable[[bytes], str | None] | None = None,
) -> str:
    """Return the text of a file, packed by gzip or not.

    Args:
        path: The file.
        encoding: Its encoding, where no byte order mark says another one; None is what it declares,
            else UTF-8.
        declared: Finds the encoding that such a file declares.

    Raises:
        DataFileError: It cannot be read, or is not in that encoding; the message says which one
            it may be in.
        ConfigurationError: There is no such encoding.
    """
    data = read_bytes(path)
    if encoding is not None:
        check_encoding(encoding)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    # A mark leaves no doubt: of many files that share a named encoding, one may be another's.
    chosen = marked or encoding or (declared(data) if declared else None) or "utf-8"
    try:
        text = data.decode(chosen)
    except UnicodeError as error:
        raise DataFileError(
            _not_in(chosen, data, error, named=chosen == encoding), path=path
        ) from error
    if "\0" in text:
        raise DataFileError(
            f"It holds NUL characters: it is no text, or UTF-16 without a byte order mark; name "
            f"that with encoding={_utf16(data)!r} (on the command line --encoding {_utf16(data)}).",
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


def _not_in(chosen: str, data: bytes, error: UnicodeError, *, named: bool) -> str:
    where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else f" ({error})"
    likely = _likely(data)
    hint = f"; it may be {likely}" if likely else ""
    if named:
        return f"It is not {chosen}{where}{hint}. Name the encoding that it was saved in."
    example = likely or "cp1252"
    shown = "UTF-8" if chosen.startswith("utf-8") else chosen
    return (
        f"It is not {shown}{where}{hint}. Save it as UTF-8, or name the encoding that it was saved "
        f"in, which then goes for every text file, as in encoding={example!r} (on the command line "
        f"--encoding {example})."
    )


def _utf16(data: bytes) -> str:
    """Return which UTF-16 the bytes may be: of most letters one of the two bytes is zero."""
    return "utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le"


def _likely(data: bytes) -> str | None:
    """Return the encoding that the bytes look like, for a message only; None for too few of them.

    Whoever follows a wrong hint gets wrong letters, and no message.
    """
    sample = data[:_SAMPLE]
    if sum(byte > 127 for byte in sample) < _TELLING:
        return None
    with suppress(MissingExtraError):
        found = require("charset_normalizer", extra="eval").from_bytes(sample).best()
        # Two bytes a character would show as zeros among them.
        if found is not None and not (found.encoding.startswith("utf_") and 0 not in sample):
            return str(found.encoding)
    return None
