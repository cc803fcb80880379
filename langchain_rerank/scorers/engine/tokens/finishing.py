"""What is done around every tokenisation: odd characters, and a word about texts that are cut."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from langchain_rerank.errors import see
from langchain_rerank.plain_text import well_formed
from langchain_rerank.scorers.engine.settings import DEFAULT_MAX_LENGTH
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize

logger = logging.getLogger(__name__)

# Texts after which the share of cut ones says something, and the share that is worth a line.
_MANY_TEXTS = 50
_LARGE_SHARE = 0.2


def finished(tokenize: Tokenize, max_length: int, limit: int) -> Tokenize:
    """Return `tokenize` for any text, with one line where the default length cuts many of them.

    Args:
        tokenize: The tokenisation.
        max_length: Tokens of a pair.
        limit: Tokens that the model can read.
    """
    tolerant = _reading_anything(tokenize)
    return _noticing_cuts(tolerant) if max_length == DEFAULT_MAX_LENGTH < limit else tolerant


def _noticing_cuts(tokenize: Tokenize) -> Tokenize:
    seen = cut = 0
    said = False

    def noticing(query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
        nonlocal seen, cut, said
        pairs = tokenize(query, texts, instruction)
        if not said:
            seen += len(pairs)
            cut += sum(pair.truncated for pair in pairs)
            if seen >= _MANY_TEXTS and cut >= _LARGE_SHARE * seen:
                said = True
                logger.warning(
                    "%d of %d texts were cut to %d tokens, and this model reads more: "
                    "max_length='model' or a number, or smaller texts. This is said once. %s",
                    cut,
                    seen,
                    DEFAULT_MAX_LENGTH,
                    see("texts-were-truncated"),
                )
        return pairs

    return noticing


def _reading_anything(tokenize: Tokenize) -> Tokenize:
    """Return `tokenize` for texts with lone surrogates too, which tokenizers refuse.

    They come out of PDFs and broken JSON, and one page must not cost the whole query.
    """

    def tolerant(query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
        try:
            return tokenize(query, texts, instruction)
        except TypeError:  # Tried first, since looking for them in every text would cost more.
            return tokenize(well_formed(query), [well_formed(text) for text in texts], instruction)

    return tolerant
