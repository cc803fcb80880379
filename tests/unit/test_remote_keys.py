"""A key shows in nothing that a server or a library says, however they write it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from langchain_rerank.scorers.remote.keys import Hiding

KEYS = [
    "sk-Very.Secret+1/2=",
    "q\"uote<&>'d\\key%41",
    "eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl-_" * 3,
    "0123456789abcdef",
]


def in_base64(key, before=""):
    return base64.b64encode(f"{before}{key} and more".encode()).decode()


WAYS = {
    "as it is": str,
    "in JSON": json.dumps,
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "in JSON with slashes escaped": lambda key: json.dumps(key).replace("/", "\\/"),
    "in JSON in numbers": lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
    "in a URL": quote,
    "in a URL, slashes too": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "in a URL in small letters": lambda key: "".join(f"%{ord(char):02x}" for char in key),
    "in HTML": html.escape,
    "in HTML in numbers": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "in HTML in hexadecimal": lambda key: "".join(f"&#x{ord(char):02X};" for char in key),
    "as Python shows it": repr,
    "in base64": in_base64,
    "in base64 after a letter": lambda key: in_base64(key, "a"),
    "in base64 after two letters": lambda key: in_base64(key, "ab"),
    "in base64 of a header": lambda key: in_base64(key, "Authorization: Bearer "),
    "in base64 for URLs": lambda key: in_base64(key).replace("+", "-").replace("/", "_"),
    "without its end": lambda key: key[:-3],
    "without its beginning": lambda key: key[3:],
    "its middle in a URL": lambda key: quote(key[2:-2], safe=""),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_hidden_however_it_is_written(way, key):
    written = WAYS[way](key)
    shown = Hiding(key)(f"Wrong key {written}, try again.")
    assert shown.startswith("Wrong key ")
    assert shown.endswith(", try again.")
    kept = shown.removeprefix("Wrong key ").removesuffix(", try again.")
    assert "***" in kept
    # Nothing else is left than what stands around the key.
    hidden = 4 * len(key) // 3 - 2 if "base64" in way else len(written) - 8
    assert len(kept) <= len(written) - hidden + len("***")


def test_what_shows_nothing_of_a_key_stays_as_it_is():
    said = 'No model "sk-model" at /a%20b: &amp; &nothing; \\u0041 \\n 100%\n\\'
    for key in ("", "sk-Very.Secret+1/2=", "other"):
        assert Hiding(key)(said) == said


def test_a_short_key_is_hidden_as_a_whole():
    assert Hiding("tea4two")("tea4two, and tea for two") == "***, and tea for two"
    assert Hiding("%41%42")("AB %41%42") == "AB ***"
