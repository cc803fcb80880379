"""From text to the terms that BM25 counts."""

from __future__ import annotations

import re
import threading
import unicodedata
from typing import Any

from langchain_rerank.optional import require

# The English stop words of Lucene (org.apache.lucene.analysis.en.EnglishAnalyzer).
STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the "  # noqa: SIM905 - reads like the list it is
    "their then there these they this to was will with".split()
)

_WORD = re.compile(r"\b\w\w+\b")

# A Snowball stemmer is not safe to share between threads and cannot be copied or pickled, so each
# thread has its own and no retriever holds one.
_of_thread = threading.local()


def english_terms(text: str) -> list[str]:
    """Return the terms of an English text: lower case, no stop words, Snowball stems, in order.

    Words of one letter are left out, as scikit-learn and bm25s do.

    Args:
        text: Any text; one without words gives `[]`.

    Raises:
        MissingExtraError: PyStemmer is not installed.

    Examples:
        >>> english_terms("The adapters of QLoRA are quantised.")
        ['adapt', 'qlora', 'quantis']
        >>> english_terms("e\N{LATIN SMALL LIGATURE FFI}cient") == english_terms("efficient")
        True
    """
    # Composed letters and ligatures as they are typed: PDFs hold others.
    text = unicodedata.normalize("NFKC", text)
    words = [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]
    stems: list[str] = _stemmer().stemWords(words)
    return stems


def _stemmer() -> Any:
    if not hasattr(_of_thread, "stemmer"):
        _of_thread.stemmer = require("Stemmer", extra="bm25").Stemmer("english")
    return _of_thread.stemmer
