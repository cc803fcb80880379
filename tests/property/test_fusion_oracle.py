"""Fusion gives what a second, plain implementation of the same words gives.

The oracle is written from the documentation, in fractions, and shares nothing with the package.
`make fuzz` runs 100,000 random cases of it; the default tests 2,000.
"""

from __future__ import annotations

import copy
import itertools
import logging
import os
import random
from fractions import Fraction

import numpy as np
import pytest
from langchain_core.documents import Document

from langchain_rerank.first_stage.fusion import (
    fused_documents,
    normalised_score_fusion,
    reciprocal_rank_fusion,
)

LOG = logging.getLogger(__name__)
CASES = int(os.environ.get("ORACLE_CASES", "2000"))
SEED = int(os.environ.get("ORACLE_SEED", "0"))
RELATIVE = 1e-12


# --- The oracle ---------------------------------------------------------------------------------


def first_places(ranking):
    """Return each key of a ranking once, where it is first."""
    return [key for place, key in enumerate(ranking) if key not in ranking[:place]]


def oracle_ranks(rankings, weights, c):
    """Return each key with its exact parts, and its best rank."""
    parts, best = {}, {}
    for ranking, weight in zip(rankings, weights, strict=True):
        if weight == 0:
            continue
        for rank, key in enumerate(first_places(ranking), start=1):
            parts.setdefault(key, []).append(Fraction(float(weight)) / (Fraction(c) + rank))
            best[key] = min(rank, best.get(key, rank))
    return parts, best


def oracle_scores(rankings, weights):
    parts, best = {}, {}
    total = sum(Fraction(float(weight)) for weight in weights)
    for ranking, weight in zip(rankings, weights, strict=True):
        if weight == 0:
            continue
        names = first_places([key for key, _ in ranking])
        scores = [next(Fraction(float(s)) for key, s in ranking if key == name) for name in names]
        for rank, (name, score) in enumerate(zip(names, scores, strict=True), start=1):
            low, high = min(scores), max(scores)
            share = (score - low) / (high - low) if high > low else Fraction(1)
            parts.setdefault(name, []).append(Fraction(float(weight)) / total * share)
            best[name] = min(rank, best.get(name, rank))
    return parts, best


def check_fused(found, parts, best, key_of=lambda key: key):
    """Check keys, scores and their order: by score, then best rank, then key."""
    keys = [key for key, _ in found]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(parts)
    for key, score in found:
        assert type(score) is float
        assert score == pytest.approx(float(sum(parts[key])), rel=RELATIVE, abs=RELATIVE)
    for (one, _), (other, _) in itertools.pairwise(found):
        if sorted(parts[one]) == sorted(parts[other]):  # an exact tie
            assert (best[one], key_of(one)) <= (best[other], key_of(other))
        else:
            ahead = sum(parts[one]) - sum(parts[other])
            assert ahead >= -RELATIVE * max(1, sum(parts[one]))


def oracle_names(rankings, id_key):
    """Return, by its number, the name of the one document that each document is a copy of."""
    everything = [document for ranking in rankings for document in ranking]
    names = {}
    for document in everything:
        ids = {each.id for each in everything if each.page_content == document.page_content}
        ids -= {None}
        if id_key is not None and document.metadata.get(id_key) is not None:
            name = ("key", document.metadata[id_key])
        elif document.id is not None:
            name = ("id", document.id)
        elif len(ids) == 1:
            name = ("id", *ids)
        else:
            name = ("text", document.page_content)
        names[document.metadata["number"]] = name
    return names


def oracle_dense(rankings, names):
    """Return the embeddings' scores by name where one ranking alone has them, else nothing."""
    having = [one for one in rankings if any("dense_score" in each.metadata for each in one)]
    if len(having) != 1:
        return {}
    found = {}
    for document in having[0]:
        name = names[document.metadata["number"]]
        if name not in found:
            found[name] = document.metadata["dense_score"]
    return found


# --- Random cases -------------------------------------------------------------------------------


def random_weights(pick, count):
    if pick.random() < 0.3:
        return None
    weights = [
        pick.choice([0, 0.0, 0.3, 0.5, 1, 2, 1e-6, 1e6, np.float64(0.7)]) for _ in range(count)
    ]
    return weights if any(weights) else None


def random_score(pick):
    return pick.choice(
        [pick.uniform(-5, 5), pick.choice([0.0, 1.0, -1.0]), pick.choice([1e308, -1e308, 5e-324])]
    )


def random_rankings(pick):
    """Return rankings of keys with scores; a key may come twice."""
    keys = pick.choice(["ab", "abcdefgh", [("x", 1), ("x", 2), ("y", 0)], list(range(20))])
    rankings = []
    for _ in range(pick.randint(1, 4)):
        chosen = [pick.choice(keys) for _ in range(pick.choice([0, 1, 3, 8]))]
        scores = sorted((random_score(pick) for _ in chosen), reverse=True)
        rankings.append(list(zip(chosen, scores, strict=True)))
    return rankings


def random_documents(pick):
    """Return rankings of documents with falling scores, each with a number of its own."""
    rankings, number = [], 0
    for dense in [pick.random() < 0.4 for _ in range(pick.randint(1, 3))]:
        count = pick.choice([0, 1, 3, 6])
        scores = sorted(pick.choice([3.0, 1, -2.5, np.float32(0.5)]) for _ in range(count))
        rankings.append([])
        for score in reversed(scores):
            number += 1
            metadata = {"number": number, "tags": [1, {"deep": 2}], "first_stage_score": score}
            if dense:
                metadata["dense_score"] = pick.choice([0.1, 0.5, 0.9])
            if pick.random() < 0.3:
                metadata["doc"] = pick.choice(["k1", "k2", 3, None])
            id_ = pick.choice([None, None, "1", "2", "x"])
            rankings[-1].append(Document(pick.choice("xyz"), id=id_, metadata=metadata))
    return rankings


def check_keys(pick):
    rankings = random_rankings(pick)
    weights = random_weights(pick, len(rankings))
    given = weights or [1] * len(rankings)
    if pick.random() < 0.5:
        found = normalised_score_fusion(rankings, weights=weights)
        check_fused(found, *oracle_scores(rankings, given))
        return "scores"
    c = pick.choice([60, 0, 1, 0.5, 1e6])
    names = [[key for key, _ in ranking] for ranking in rankings]
    found = reciprocal_rank_fusion(names, weights=weights, c=c)
    check_fused(found, *oracle_ranks(names, given, c))
    return "ranks"


def check_documents(pick):
    """Check `fused_documents`: which are one, which copy is kept, its scores, nothing shared."""
    rankings = random_documents(pick)
    before = copy.deepcopy(rankings)
    id_key = pick.choice([None, None, "doc"])
    fusion = pick.choice(["ranks", "scores"])
    weights = random_weights(pick, len(rankings))
    found = fused_documents(rankings, weights=weights, fusion=fusion, id_key=id_key)
    assert repr(rankings) == repr(before), "an input was changed"

    names = oracle_names(rankings, id_key)
    scored = [
        [(names[each.metadata["number"]], each.metadata["first_stage_score"]) for each in ranking]
        for ranking in rankings
    ]
    given = weights or [1] * len(rankings)
    if fusion == "scores":
        parts, best = oracle_scores(scored, given)
    else:
        parts, best = oracle_ranks([[name for name, _ in one] for one in scored], given, 60)
    by_name = [(names[one.metadata["number"]], one.metadata["first_stage_score"]) for one in found]
    check_fused(by_name, parts, best, key_of=lambda _: 1)

    everything = [
        (each.id is None, rank, each)
        for ranking in rankings
        for rank, each in enumerate(ranking, start=1)
    ]
    dense = oracle_dense(rankings, names)
    for document in found:
        number = document.metadata["number"]
        group = [one for one in everything if names[one[2].metadata["number"]] == names[number]]
        place = next(one for one in group if one[2].metadata["number"] == number)
        original = place[2]
        assert place[:2] == min(one[:2] for one in group)  # named first, then where it ranked best
        assert (document.id, document.page_content) == (original.id, original.page_content)
        expected = {
            **original.metadata,
            "first_stage_score": document.metadata["first_stage_score"],
        }
        expected.pop("dense_score", None)
        if dense:
            expected["dense_score"] = dense.get(names[number], min(dense.values()))
        assert dict(document.metadata) == expected
        assert document.metadata["tags"] is not original.metadata["tags"]
        assert document.metadata["tags"][1] is not original.metadata["tags"][1]
    return "documents"


@pytest.mark.timeout(3600)
def test_fusion_gives_what_a_plain_implementation_gives():
    counts = dict.fromkeys(("scores", "ranks", "documents"), 0)
    for number in range(CASES):
        pick = random.Random(f"{SEED}-{number}")
        try:
            counts[pick.choice([check_keys, check_documents])(pick)] += 1
        except Exception as error:
            raise AssertionError(f"case {number} of seed {SEED}: {error!r}") from error
    LOG.info("%d cases of fusion: %s", CASES, counts)
    assert sum(counts.values()) == CASES
    assert all(count > CASES // 10 for count in counts.values()), counts
