"""Lines of plain data in a file that outlive a killed process, each with its checksum."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from langchain_rerank.errors import ConfigurationError, DataFileError

Row = dict[str, Any]

_SEALED = re.compile(rb'(\{.*), "sum": "([0-9a-f]{16})"\}', re.DOTALL)


def sealed(row: Mapping[str, Any]) -> bytes:
    r"""Return a row, not empty, as a line of JSON with a checksum of the rest as its last member.

    Examples:
        >>> sealed({"a": 1})
        b'{"a": 1, "sum": "2445ef814befe2c2"}\n'
    """
    body = json.dumps(row, default=str)[:-1].encode()  # ASCII: anything else is escaped
    return b'%b, "sum": "%b"}\n' % (body, _sum(body))


def unsealed(line: bytes) -> Row:
    """Return the row that a line without its end was made of.

    Raises:
        ValueError: It has no checksum, or another than its own.
    """
    found = _SEALED.fullmatch(line)
    if found is None or _sum(found[1]) != found[2]:
        raise ValueError("its checksum is missing or belongs to something else")
    row: Row = json.loads(found[1] + b"}")
    return row


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def load(
    path: Path, begin: bytes, take: Callable[[bytes], None], *, what: str, otherwise: str
) -> bool:
    """Give each line to `take`, then cut a torn last one off; return whether there are any.

    A line is torn where a process was killed while it wrote: it has no end. Nothing is cut where a
    line is damaged, or where there is no whole one and the file is not one of ours. `what` holds
    such lines, which begin with `begin`, and `otherwise` says what is done without one.

    Raises:
        DataFileError: A line is none of `what`, or there is none and the file begins otherwise.
    """
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if not end:
        refuse_foreign(path, begin)
    for number, line in enumerate(data[:end].split(b"\n")[:-1], 1):
        try:
            take(line)
        except ConfigurationError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataFileError(
                f"This is no line of {what}, or it was damaged. Remove it, and what it held is "
                f"{otherwise}.",
                path=path,
                line=number,
            ) from error
    if end < len(data):
        with path.open("r+b") as file:
            file.truncate(end)
    return end > 0


def refuse_foreign(path: Path, begin: bytes) -> None:
    """Raise where a file is there that is none of ours: it is somebody's, and stays as it is.

    Raises:
        DataFileError: It does not begin with `begin`, nor is it a torn part of that.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        if begin.startswith(file.read(len(begin))):
            return
    raise DataFileError(
        "There is a file here that was not written by langchain-rerank, and it is left as it is. "
        "Name another place, or move the file away.",
        path=path,
    )


def write(file: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a file that is open for bytes, so that they survive this process."""
    file.write(b"".join(map(sealed, rows)))
    file.flush()
