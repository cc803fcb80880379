"""A mixture: what a cross-encoder says of each text, and what a bi-encoder says of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from langchain_rerank import ranking
from langchain_rerank.checks import check_embeddings, check_weight, shown
from langchain_rerank.embedded import FIRST_STAGE_WEIGHT
from langchain_rerank.errors import ScorerContractError
from langchain_rerank.plain_text import well_formed
from langchain_rerank.scorers.contract import Request, Scorer, Scores
from langchain_rerank.wrappers.wrapper import Ask, Do, Steps, Wrapper, identity_of


class BiEncoder(Protocol):
    """What embeds queries and texts: any LangChain `Embeddings` does."""

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query, `(d,)`."""
        ...

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, `(n, d)`, in order."""
        ...


class MixedScorer(Wrapper):
    """Mixes the scores of any scorer with the cosines of a bi-encoder.

    Both are scaled to z-scores within the texts of one call and added with weights, as
    `first_stage_weight` does with the scores of a dense first stage. Where the first stage is dense
    or hybrid, take that setting: its cosines cost nothing. This scorer embeds every text anew,
    which makes a small cross-encoder such as the embedded one about twice as slow.

    The scores order the texts of one call and say nothing across calls: they depend on the other
    texts (`pointwise` is False), so cache the scorer inside it, and set no threshold on them.

    Args:
        scorer: The scorer, whatever its scale.
        embeddings: The bi-encoder: an object with `embed_query` and `embed_documents`.
        weight: Share of the cosine, from 0 (the scorer alone) to 1 (the cosine alone); the default
            is the embedded model's.

    Raises:
        ConfigurationError: `weight` is outside 0 to 1, or `embeddings` cannot embed.

    Examples:
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> class Lengths:
        ...     def embed_query(self, text):
        ...         return [1.0, 0.0]
        ...     def embed_documents(self, texts):
        ...         return [[1.0, len(text) / 10] for text in texts]
        >>> scorer = MixedScorer(WordOverlapScorer(), Lengths(), weight=1.0)
        >>> scorer.score("red fox", ["a fox", "hens"])
        [-1.0, 1.0]
    """

    kind = "mixed"
    pointwise = False

    def __init__(
        self, scorer: Scorer, embeddings: BiEncoder, *, weight: float = FIRST_STAGE_WEIGHT
    ) -> None:
        weight = check_weight(weight, "weight")
        check_embeddings(embeddings)
        super().__init__(scorer, weight=weight)
        self._embeddings = embeddings
        self._weight = weight

    @property
    def identity(self) -> Any:
        """Everything that changes its scores, or None where a part of it does not say."""
        inner, embeddings = super().identity, identity_of(self._embeddings)
        if inner is None or embeddings is None:
            return None
        return {**inner, "embeddings": embeddings}

    def _steps(self, requests: Sequence[Request]) -> Steps:
        answers = yield Ask(self.scorers[0], requests)
        mixed = []
        for (query, texts), scores in zip(requests, answers, strict=True):
            cosines = yield Do(partial(self._cosines, query, texts), self.name)
            values = ranking.interpolate(scores, cosines, self._weight)
            mixed.append(
                Scores(values, truncated=scores.truncated, best_passages=scores.best_passages)
            )
        return mixed

    def _cosines(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the cosine of each text and the query, `(n,)`; 0 where a vector has no length."""
        texts = [well_formed(text) for text in texts]
        distinct = list(dict.fromkeys(texts))  # equal texts are to tie to the last bit
        asked = _vectors([self._embeddings.embed_query(well_formed(query))], 1)
        found = _vectors(self._embeddings.embed_documents(distinct), len(distinct))
        if found.shape[1] != asked.shape[1]:
            raise ScorerContractError(
                f"The bi-encoder gave the query {asked.shape[1]} dimensions and the texts "
                f"{found.shape[1]}; both must come from the same model."
            )
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(asked)
        products = np.divide(found @ asked[0], lengths, where=lengths > 0, out=np.zeros(len(found)))
        by_text = dict(zip(distinct, products.tolist(), strict=True))
        return [by_text[text] for text in texts]


def _vectors(given: Sequence[Sequence[float]], n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return `given` as an array `(n, d)`, or say what is wrong with it."""
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScorerContractError(
            f"The bi-encoder returned {shown(given)}; expected {n} vectors of one length."
        ) from error
    if found.ndim != 2 or len(found) != n or not np.isfinite(found).all():
        raise ScorerContractError(
            f"The bi-encoder returned an array of shape {found.shape} for {n} texts"
            + ("" if np.isfinite(found).all() else ", not all of it finite")
            + f"; expected {n} vectors of finite numbers."
        )
    return found
