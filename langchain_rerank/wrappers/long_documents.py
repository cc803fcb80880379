"""Long documents by passages: each text gets the score of its best passage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from langchain_rerank.checks import is_one_of, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.contract import Passage, Request, Scorer, Scores
from langchain_rerank.wrappers.passages import split_passages
from langchain_rerank.wrappers.wrapper import Ask, Steps, Wrapper

Aggregate = Literal["max", "first", "mean"]


class LongDocumentScorer(Wrapper):
    """Scores each text by its passages, so that nothing beyond the model's limit goes unread.

    All passages of all texts of a call go to the scorer at once. The passage that scored best is
    reported in `Scores.best_passages`, with its offsets in the text (the first of equals).

    Cost: a text of `w` words is scored as about `w / (passage_words - overlap_words)` passages.

    Args:
        scorer: What scores the passages.
        passage_words: Most words in a passage. The default fits, with the query, into the 512
            tokens of most cross-encoders; `truncated` reports where it did not. In scripts without
            spaces each character is a word.
        overlap_words: Words that neighbouring passages share, so that a sentence at a cut is whole
            in one of them.
        aggregate: A text's score: "max" of its passages, "first" passage only (no other one is
            scored), or the "mean".

    Raises:
        ConfigurationError: A setting is out of its range.

    Source: Dai and Callan, Deeper Text Understanding for IR with Contextual Neural Language
        Modeling, SIGIR 2019, https://doi.org/10.1145/3331184.3331303 (MaxP and FirstP).

    Examples:
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> scorer = LongDocumentScorer(WordOverlapScorer(), passage_words=3, overlap_words=1)
        >>> scores = scorer.score("red fox", ["a long text about a fox that is red red fox"])
        >>> scores, scores.best_passages[0].text
        ([1.0], 'red red fox')
    """

    kind = "long-documents"

    def __init__(
        self,
        scorer: Scorer,
        *,
        passage_words: int = 200,
        overlap_words: int = 50,
        aggregate: Aggregate = "max",
    ) -> None:
        passage_words = whole_number(passage_words, "passage_words")
        overlap_words = whole_number(overlap_words, "overlap_words", least=0)
        if overlap_words >= passage_words:
            raise ConfigurationError(
                f"overlap_words is {overlap_words}; it must be from 0 to {passage_words - 1}, "
                f"less than passage_words ({passage_words})."
            )
        if not is_one_of(aggregate, get_args(Aggregate)):
            raise ConfigurationError(
                f"aggregate is {shown(aggregate)}; it must be one of "
                f"{', '.join(get_args(Aggregate))}."
            )
        super().__init__(
            scorer, passage_words=passage_words, overlap_words=overlap_words, aggregate=aggregate
        )
        self._passage_words = passage_words
        self._overlap_words = overlap_words
        self._aggregate = aggregate

    def _passages(self, text: str) -> list[Passage]:
        passages = split_passages(text, self._passage_words, self._overlap_words)
        return passages[:1] if self._aggregate == "first" else passages

    def _steps(self, requests: Sequence[Request]) -> Steps:
        split = [[self._passages(text) for text in texts] for _, texts in requests]
        asks = [
            (query, [passage.text for passages in texts for passage in passages])
            for (query, _), texts in zip(requests, split, strict=True)
        ]
        answers = yield Ask(self.scorers[0], asks)
        return [
            self._aggregated(scores, texts) for scores, texts in zip(answers, split, strict=True)
        ]

    def _aggregated(self, scores: Scores, texts: Sequence[Sequence[Passage]]) -> Scores:
        totals, best_passages, start = [], [], 0
        for passages in texts:
            mine = scores[start : start + len(passages)]
            start += len(passages)
            best = max(mine)
            totals.append(math.fsum(mine) / len(mine) if self._aggregate == "mean" else best)
            best_passages.append(passages[mine.index(best)])
        # The scorer counts passages that were cut, and each lies in one text: at most that many.
        cut = scores.truncated
        truncated = None if cut is None else min(cut, len(texts))
        return Scores(totals, truncated=truncated, best_passages=best_passages)
