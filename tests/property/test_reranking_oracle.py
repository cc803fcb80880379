"""Reranking gives what a second, plain implementation of the same words gives.

The oracle below is written from the documentation: loops, fractions and equality, nothing of the
package. Random candidates, scores and settings go through both, by every door. `make fuzz` does so
100,000 times; the default tests 2,000.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import os
import random
import warnings
from fractions import Fraction

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever
from langchain_rerank.errors import InputError, RerankWarning, ScorerError

LOG = logging.getLogger(__name__)
CASES = int(os.environ.get("ORACLE_CASES", "2000"))
SEED = int(os.environ.get("ORACLE_SEED", "0"))

NAN = float("nan")
OF_RERANKING = {
    "relevance_score",
    "first_stage_rank",
    "rerank_rank",
    "best_passage",
    "interpolated_score",
}
OF_A_QUERY = OF_RERANKING | {"first_stage_score", "dense_score"}
FIELDS = ["title", "year"]


# --- The oracle ---------------------------------------------------------------------------------


def oracle_same(one, other, by):
    """Return whether two candidates are one document."""
    if by == "off":
        return False
    if by == "text":
        return one.page_content == other.page_content
    if one.id and other.id:
        return one.id == other.id
    bare, rest = (
        {key: value for key, value in (each.metadata or {}).items() if key not in OF_A_QUERY}
        for each in (one, other)
    )
    return one.page_content == other.page_content and bare == rest


def oracle_candidates(documents, by):
    kept = []
    for document in documents:
        if not any(oracle_same(before, document, by) for before in kept):
            kept.append(document)
    return kept


def oracle_text(document, fields):
    lines = []
    for field in fields:
        value = (document.metadata or {}).get(field)
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            lines.append(str(value))
    return "\n".join([*lines, document.page_content])


def oracle_number(document, key):
    """Return the score in the metadata where it is a finite number."""
    value = (document.metadata or {}).get(key)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return None
    try:
        return float(value) if math.isfinite(float(value)) else None
    except OverflowError:
        return None


def oracle_z(values):
    """Return z-scores, by exact sums."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    if not variance:
        return [0.0] * len(values)
    # One division by a root: of the ratio, which is at most n.
    return [
        math.copysign(math.sqrt((value - mean) ** 2 / variance), value - mean) for value in exact
    ]


def oracle_one_search(candidates):
    """Return whether the first stage's scores fall, so that they may be those of one search."""
    scores = [oracle_number(document, "first_stage_score") for document in candidates]
    scores = [score for score in scores if score is not None]
    return all(
        scores[i + 1] <= scores[i] or math.isclose(scores[i], scores[i + 1])
        for i in range(len(scores) - 1)
    )


def oracle_without_scores(document):
    """Return what is made of a candidate that has one of several searches' scores."""
    kept = {
        key: value
        for key, value in (document.metadata or {}).items()
        if key not in {"first_stage_score", "dense_score"}
    }
    return document.model_copy(update={"metadata": kept})


def oracle_mixed(candidates, scores, weight):
    """Return what orders the candidates: (1 - w) z-scores of the reranker, w of the first stage."""
    ranks = [1 / (place + 1) for place in range(len(candidates))]
    first = [oracle_number(document, "dense_score") for document in candidates]
    if None in first:
        first = [oracle_number(document, "first_stage_score") for document in candidates]
    if None in first or not oracle_one_search(candidates):
        first = ranks
    mine, theirs = oracle_z(scores), oracle_z(first)
    return [(1 - weight) * a + weight * b for a, b in zip(mine, theirs, strict=True)]


# --- Random cases -------------------------------------------------------------------------------


def random_metadata(pick):
    """Return metadata of every kind that users have, or None."""
    if pick.random() < 0.05:
        return None
    metadata = {}
    if pick.random() < 0.5:
        metadata["title"] = pick.choice(["LoRA", "", None, NAN, 7, "tab\there"])
    if pick.random() < 0.3:
        nested = [("a", [1, {"b": 2}]), ("c", (3,))]
        metadata["nested"] = dict(pick.sample(nested, pick.randint(1, 2)))
    if pick.random() < 0.2:
        metadata[pick.choice([3, ("t", 1), None, "source"])] = pick.choice(["x", 2.5, b"y"])
    for key in OF_RERANKING - {"best_passage"}:  # what an earlier reranking left
        if pick.random() < 0.1:
            metadata[key] = pick.choice([1, 0.5, "stale"])
    return metadata


def random_documents(pick):
    count = pick.choice([0, 1, 2, 3, 5, 8, 13])
    pool = pick.choice([2, 4, 30])
    scored = pick.choice(["none", "falling", "any", "odd"])
    dense = pick.random() < 0.2
    number = 50.0
    found = []
    for _ in range(count):
        text = pick.choice(["", "fox ", "日本 ", "a\nb "]) + str(pick.randrange(pool))
        ids = [None, "", *(f"d{n}" for n in range(pool))]
        document = Document(text, id=pick.choice(ids) if pick.random() < 0.8 else None)
        metadata = random_metadata(pick)
        number -= pick.choice([0.0, 0.5, 3.25])
        if metadata is not None and scored != "none":
            value = number if scored == "falling" else pick.choice([1, 2.5, -3.0, 1e200])
            if scored == "odd":
                value = pick.choice(
                    [value, "2", True, NAN, math.inf, None, 10**400, np.float32(1.5), np.int64(2)]
                )
            metadata["first_stage_score"] = value
        if metadata is not None and dense:
            metadata["dense_score"] = pick.choice([0.25, 0.5, -1, np.float64(0.75)])
        document.metadata = metadata
        found.append(document)
    return found


class TableScorer:
    """Scores each text by a table that grows at random, and fails on request."""

    name = "table"

    def __init__(self, pick, kind, *, fails):
        self.pick, self.kind, self.fails = pick, kind, fails
        self.table = {}
        self.asked = []

    def score(self, query, texts):
        self.asked.append((query, list(texts)))
        if self.fails:
            raise RuntimeError("out of luck")
        kinds = {
            "ties": lambda: self.pick.choice([0.0, 0.5, -0.5]),
            "spread": lambda: self.pick.uniform(-10, 10),
            "large": lambda: self.pick.choice([1e300, -1e300, 1.0, 5e-324, -0.0]),
            "numpy": lambda: self.pick.choice([np.float32(0.5), np.float64(-2), np.int32(3), 4]),
        }
        for text in texts:
            if text not in self.table:
                self.table[text] = kinds[self.kind]()
        return [self.table[text] for text in texts]


def random_settings(pick):
    return {
        "top_n": pick.choice([None, 1, 2, 3, 5, 50, np.int64(2)]),
        "score_threshold": pick.choice([None, None, 0.5, -0.5, 0, -math.inf, math.inf, 1e300]),
        "deduplicate": pick.choice(["id", "text", "off"]),
        "first_stage_weight": pick.choice([0, 0, 0.0, 0.3, 0.5, 1.0, 1]),
        "metadata_fields": pick.choice([[], [], ["title"], FIELDS]),
        "max_candidates": pick.choice([1000, 1000, 1000, 3]),
        "on_error": pick.choice(["raise", "first_stage"]),
    }


# --- One case -----------------------------------------------------------------------------------


def ask(door, documents, query, scorer, settings, pick):
    """Return a result by one of the doors, and how many candidates were looked at."""
    if door == "compressor":
        reranker = CrossEncoderReranker(model=scorer, **settings)
        if pick.random() < 0.1:
            return asyncio.run(reranker.arerank(documents, query)), None
        return reranker.rerank(documents, query), None
    depth = min(pick.choice([1, 2, 4, 50]), settings["max_candidates"])
    own, call = dict(settings, first_stage_k=depth), {}
    if door == "call":  # the settings of the call count, not those of the retriever
        names = ["top_n", "score_threshold", "first_stage_k"]
        call = {name: own[name] for name in names}
        own |= {"top_n": 4, "score_threshold": 1e9, "first_stage_k": 2}
    base = RunnableLambda(lambda _: documents)
    retriever = CrossEncoderRerankRetriever(base_retriever=base, model=scorer, **own)
    if pick.random() < 0.1:
        return asyncio.run(retriever.asearch(query, **call)), depth
    return retriever.search(query, **call), depth


def check_case(number):
    """Run one random case by a random door and compare all that comes back with the oracle."""
    pick = random.Random(f"{SEED}-{number}")
    documents, settings = random_documents(pick), random_settings(pick)
    kind = pick.choice(["ties", "spread", "large", "numpy"])
    scorer = TableScorer(pick, kind, fails=pick.random() < 0.05)
    before = copy.deepcopy(documents)
    door = pick.choice(["compressor", "retriever", "call"])
    candidates = oracle_candidates(documents, settings["deduplicate"])

    try:
        result, depth = ask(door, documents, "which fox?", scorer, settings, pick)
    except InputError:
        assert door == "compressor"  # a retriever cuts before it counts
        assert len(candidates) > settings["max_candidates"]
        return "refused"
    except ScorerError:
        assert scorer.fails
        assert settings["on_error"] == "raise"
        return "failed"
    finally:
        assert repr(documents) == repr(before), "an input was changed"

    candidates = candidates[:depth]
    if not oracle_one_search(candidates):
        candidates = [oracle_without_scores(document) for document in candidates]
    assert result.candidates == len(candidates) <= settings["max_candidates"]
    found = result.documents
    top_n = settings["top_n"]
    texts = [oracle_text(document, settings["metadata_fields"]) for document in candidates]
    assert scorer.asked == ([("which fox?", texts)] if candidates else [])
    if scorer.fails and candidates:
        assert settings["on_error"] == "first_stage"
        expected = candidates[:top_n]
        news = [{"first_stage_rank": rank} for rank in range(1, len(expected) + 1)]
        assert isinstance(result.error, RuntimeError)
        check_copies(found, expected, news)
        return "first stage"

    assert result.error is None
    scores = [float(scorer.table[text]) for text in texts]
    assert result.best_score == (max(scores) if scores else None)
    places = [document.metadata["first_stage_rank"] - 1 for document in found]
    weight = settings["first_stage_weight"]
    keys = oracle_mixed(candidates, scores, weight) if weight and scores else scores
    threshold = settings["score_threshold"]
    reach = [i for i, score in enumerate(scores) if threshold is None or score >= threshold]
    assert set(places) <= set(reach)
    assert len(places) == len(set(places)) == min(len(reach), top_n or len(reach))
    check_order(places, reach, keys, exact=not weight)
    news = []
    for rank, place in enumerate(places, start=1):
        news.append(
            {
                "relevance_score": scores[place],
                "first_stage_rank": place + 1,
                "rerank_rank": rank,
            }
        )
        if weight:
            mixed = found[rank - 1].metadata["interpolated_score"]
            assert mixed == pytest.approx(keys[place], abs=1e-9)
            news[-1]["interpolated_score"] = mixed
    check_copies(found, [candidates[place] for place in places], news)
    return "ranked"


def check_order(places, reach, keys, *, exact):
    """Check that no place stands before a better one, and that ties keep first-stage order."""
    wanted = sorted(reach, key=lambda place: -keys[place])[: len(places)]
    if exact:
        assert places == wanted
        return
    # z-scores are rounded: what is nearly equal may change places.
    for got, want in zip(places, wanted, strict=True):
        assert keys[got] == pytest.approx(keys[want], abs=1e-9)


def shown(metadata):
    """Return metadata in a form in which NaN equals itself, and 1 is not 1.0."""
    return {repr(key): repr(value) for key, value in metadata.items()}


def check_copies(found, originals, news):
    """Check that each document is its original with the new metadata, sharing nothing with it."""
    for document, original, new in zip(found, originals, news, strict=True):
        assert document is not original
        assert type(document) is type(original)
        assert (document.id, document.page_content) == (original.id, original.page_content)
        kept = {k: v for k, v in (original.metadata or {}).items() if k not in OF_RERANKING}
        assert shown(document.metadata) == shown({**kept, **new})
        for name in ("relevance_score", "interpolated_score"):
            assert type(document.metadata.get(name, 0.0)) is float
        nested = document.metadata.get("nested")
        if nested is not None:
            assert nested is not original.metadata["nested"]
            assert nested.get("a") is None or nested["a"] is not original.metadata["nested"]["a"]


@pytest.mark.timeout(3600)
def test_reranking_gives_what_a_plain_implementation_gives(caplog):
    caplog.set_level(logging.CRITICAL, logger="langchain_rerank.reranking")  # failures are meant
    counts = dict.fromkeys(("ranked", "first stage", "failed", "refused"), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RerankWarning)
        for number in range(CASES):
            try:
                counts[check_case(number)] += 1
            except Exception as error:
                raise AssertionError(f"case {number} of seed {SEED}: {error!r}") from error
    LOG.info("%d cases of reranking: %s", CASES, counts)
    assert sum(counts.values()) == CASES
    assert all(count > CASES // 200 for count in counts.values()), counts
