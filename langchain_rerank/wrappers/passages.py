"""Cuts a long text into overlapping passages, exactly: `passage.text == text[start:end]`."""

from __future__ import annotations

import re

from langchain_rerank.scorers.contract import Passage

# Scripts that write without spaces (Chinese characters, kana, Thai, Lao, Khmer, Burmese): each
# character counts as a word. Elsewhere a word is a run without spaces; one of more than 32
# characters (an address, encoded data) counts as several, so that no passage is without bound.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,32}}")


def split_passages(text: str, passage_words: int, overlap_words: int) -> list[Passage]:
    """Return the passages of `text`, in order, each sharing `overlap_words` with the one before.

    A text of at most `passage_words` words, the empty one too, is one passage: the whole of it.
    Longer ones are cut at words, without the space around a passage; every word is in a passage.

    Examples:
        >>> for p in split_passages("the quick  brown fox jumps", 3, 1):
        ...     print(p)
        Passage(text='the quick  brown', start=0, end=16)
        Passage(text='brown fox jumps', start=11, end=26)
        >>> split_passages("", 3, 1)
        [Passage(text='', start=0, end=0)]
    """
    words = [match.span() for match in _WORD.finditer(text)]
    if len(words) <= passage_words:
        return [Passage(text, 0, len(text))]
    passages = []
    for first in range(0, len(words) - overlap_words, passage_words - overlap_words):
        last = min(first + passage_words, len(words)) - 1
        start, end = words[first][0], words[last][1]
        passages.append(Passage(text[start:end], start, end))
    return passages
