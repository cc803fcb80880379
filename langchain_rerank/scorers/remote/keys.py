"""A key: whether a header can carry it, and what others said without it, however they wrote it."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterator

from langchain_rerank.errors import ConfigurationError

# So many characters of a key in a row say something of it; fewer are words and beginnings.
_RUN = 8
# A character as it is, behind backslashes, or as it is written in a URL, in JSON and in HTML.
_WRITTEN = re.compile(
    r"(?:%|\\+u00|\\+x)([0-9a-f]{2})|(&#?\w{2,6};)|\\*(.)",
    re.IGNORECASE | re.DOTALL,
)


def checked_key(key: str, where: str) -> str:
    """Return `key` without space around it; "" for none. `where` it is from begins the message.

    Raises:
        ConfigurationError: No header can carry it. The message does not show it.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"{where} has a character that no HTTP header can carry (a space, a line break, one "
            f"beyond ASCII); copy the key again. It is not shown here."
        )
    return key


class Hiding:
    """Hides a key, and any eight characters in a row of it, in what others say.

    They may have written it as it is, in a URL, in JSON, in HTML or in base64, alone or as part of
    something longer.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        # A key may itself look as if it were written in one of these ways.
        others = {"".join(char for char, _, _ in _characters(key)), *_in_base64(key)}
        forms = {key, *(form for form in others if len(form) >= _RUN)} - {""}
        self._sizes = {min(_RUN, len(form)) for form in forms}
        self._runs = {
            form[i : i + _RUN] for form in forms for i in range(max(1, len(form) - _RUN + 1))
        }

    def __call__(self, said: str) -> str:
        """Return `said` with three stars for each part of it that shows the key."""
        if not self._key:
            return said
        said = said.replace(self._key, "***")
        found = list(_characters(said))
        read = "".join(char for char, _, _ in found)
        shown, position, hidden = [], 0, 0
        for i, (_, start, end) in enumerate(found):
            for size in self._sizes:
                if read[i : i + size] in self._runs:
                    if i >= hidden:
                        shown += [said[position:start], "***"]
                    hidden = max(hidden, i + size)
            if i < hidden:
                position = end
        return "".join([*shown, said[position:]])


def _characters(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each character that `text` writes, with where that begins and ends in it."""
    for one in _WRITTEN.finditer(text):
        in_hex, entity, plain = one.groups()
        char = chr(int(in_hex, 16)) if in_hex else html.unescape(entity or plain) or "&"
        yield char[0], *one.span()  # of an entity that there is not, the &


def _in_base64(key: str) -> Iterator[str]:
    """Yield what every base64 of a text with `key` in it has, wherever in it the key stands."""
    for before in range(3):
        data = bytes(before) + key.encode()
        # Characters at both ends that hold bits of what stands beside the key.
        first, last = (8 * before + 5) // 6, 8 * len(data) // 6
        inner = b64encode(data).decode()[first:last]
        yield inner
        yield inner.translate({ord("+"): "-", ord("/"): "_"})
