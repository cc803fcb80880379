"""Ranking measures, named as ir_measures names them: pure functions on ids and grades.

The six that retrieval work needs daily, and `Judged`, are computed here, with the same results as
ir_measures to the last bit; any other (`Bpref`, `ERR@10`, `infAP`) goes to ir_measures itself.

Source: Järvelin and Kekäläinen 2002 (nDCG), doi:10.1145/582415.582418; Voorhees 1999 (RR), TREC-8;
Manning, Raghavan and Schütze 2008 (P, R, AP), doi:10.1017/CBO9780511809071, chapter 8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_rerank.checks import listed
from langchain_rerank.errors import ConfigurationError, MissingExtraError
from langchain_rerank.evaluation.score.ir import IrMeasure
from langchain_rerank.evaluation.score.spelling import known_name, taken_apart
from langchain_rerank.optional import require

Qrels = Mapping[str, int]
"""Grade by id for one query; 0 and less mean judged and not relevant."""


class Measure(Protocol):
    """A measure: a name (`str(measure)`) and a value for one query."""

    def __call__(self, ids: Sequence[str], qrels: Qrels) -> float:
        """Return the value for one query.

        Args:
            ids: `(n,)` ids, best first. A repeated id counts where it stands first and is then
                left out. Empty gives 0.
            qrels: Grade by id. An id that is not there was not judged and earns nothing.
        """
        ...


# Each from the grades in the order returned, all grades judged, the cutoff and the least relevant.
def _ndcg(ranked: Sequence[int], judged: Sequence[int], cutoff: int | None, _rel: int) -> float:
    # Discounted gain log2(rank + 1); a negative grade gains 0.
    ideal = _discounted(sorted(judged, reverse=True)[:cutoff])
    return _discounted(ranked[:cutoff]) / ideal if ideal > 0.0 else 0.0


def _discounted(grades: Sequence[int]) -> float:
    total = 0.0
    for position, grade in enumerate(grades):
        if grade > 0:
            total += grade / math.log2(position + 2)
    return total


def _rr(ranked: Sequence[int], _judged: Sequence[int], cutoff: int | None, rel: int) -> float:
    ranks = (rank for rank, grade in enumerate(ranked[:cutoff], 1) if grade >= rel)
    first = next(ranks, None)
    return 1.0 / first if first else 0.0


def _r(ranked: Sequence[int], judged: Sequence[int], cutoff: int | None, rel: int) -> float:
    relevant = _count(judged, rel)
    return _count(ranked[:cutoff], rel) / relevant if relevant else 0.0


def _p(ranked: Sequence[int], _judged: Sequence[int], cutoff: int | None, rel: int) -> float:
    return _count(ranked[:cutoff], rel) / (cutoff or 1)


def _success(ranked: Sequence[int], _judged: Sequence[int], cutoff: int | None, rel: int) -> float:
    return float(any(grade >= rel for grade in ranked[:cutoff]))


def _ap(ranked: Sequence[int], judged: Sequence[int], cutoff: int | None, rel: int) -> float:
    relevant = _count(judged, rel)
    total, found = 0.0, 0
    for rank, grade in enumerate(ranked[:cutoff], 1):
        if grade >= rel:
            found += 1
            total += found / rank
    return total / relevant if relevant else 0.0


def _count(grades: Sequence[int], rel: int) -> int:
    return sum(grade >= rel for grade in grades)


_Formula = Callable[[Sequence[int], Sequence[int], "int | None", int], float]
_FORMULAS: dict[str, _Formula] = {
    "nDCG": _ndcg,
    "RR": _rr,
    "R": _r,
    "P": _p,
    "Success": _success,
    "AP": _ap,
}
_NEEDS_CUTOFF = {"R", "P", "Success"}


@dataclass(frozen=True)
class RankingMeasure:
    """One of nDCG, RR, R, P, Success and AP.

    Attributes:
        name: Which one.
        cutoff: How many ranks are looked at; None for all.
        rel: Smallest grade that is relevant; nDCG uses the grades themselves.
    """

    name: str
    cutoff: int | None = None
    rel: int = 1

    def __str__(self) -> str:
        rel = f"(rel={self.rel})" if self.rel != 1 else ""
        return f"{self.name}{rel}" + (f"@{self.cutoff}" if self.cutoff else "")

    def __call__(self, ids: Sequence[str], qrels: Qrels) -> float:
        """Return the value for one query, from 0 to 1.

        Examples:
            >>> parse_measure("RR@10")(["a", "b"], {"b": 1})
            0.5
        """
        ranked = [qrels.get(one, 0) for one in dict.fromkeys(ids)]
        return _FORMULAS[self.name](ranked, list(qrels.values()), self.cutoff, self.rel)


@dataclass(frozen=True)
class Judged:
    """The share of the first `cutoff` ids that somebody judged; 0 where nothing was returned.

    A reranker brings up documents that nobody labelled: where this falls, so may the other measures
    without the order being worse.
    """

    cutoff: int | None = None

    def __str__(self) -> str:
        return f"Judged@{self.cutoff}" if self.cutoff else "Judged"

    def __call__(self, ids: Sequence[str], qrels: Qrels) -> float:
        """Return the share for one query, from 0 to 1.

        Examples:
            >>> Judged(2)(["a", "b", "c"], {"b": 0})
            0.5
        """
        shown = list(dict.fromkeys(ids))[: self.cutoff]
        return sum(one in qrels for one in shown) / len(shown) if shown else 0.0


def parse_measure(text: str | Measure) -> Measure:
    """Return the measure that `text` names; a measure is returned as it is.

    Args:
        text: `NAME`, `NAME@CUTOFF` or `NAME(rel=GRADE)@CUTOFF`, for instance `nDCG@10`; also as
            trec_eval, MTEB and others write it: `ndcg_cut_10`, `mrr@10`, `recall_at_5`, `hit@5`.

    Raises:
        ConfigurationError: No such measure, a cutoff is missing or 0, an unknown parameter, or a
            measure that nothing installed computes.
        MissingExtraError: Only ir_measures could know it, and that is not installed.

    Examples:
        >>> str(parse_measure("P(rel=2)@5")), str(parse_measure("mrr_at_10"))
        ('P(rel=2)@5', 'RR@10')
    """
    if not isinstance(text, str):
        return text
    name, cutoff, parameters = taken_apart(text)
    if cutoff == 0 and name.lower() != "iprec":  # which is at a recall, from 0
        raise ConfigurationError(f"{text!r} looks at no rank; a cutoff is at least 1.")
    own_parameters = set(parameters) <= ({"rel"} if name in _FORMULAS and name != "nDCG" else set())
    if own_parameters and name in {*_FORMULAS, "Judged"}:
        if isinstance(cutoff, float):
            raise ConfigurationError(f"{text!r}: a cutoff is a whole number of ranks.")
        if name == "Judged":
            return Judged(cutoff)
        rel = parameters.get("rel", 1)
        if name in _NEEDS_CUTOFF and cutoff is None:
            raise ConfigurationError(f"{text!r} needs a cutoff, for instance {text}@10.")
        if not isinstance(rel, int) or rel < 1:
            raise ConfigurationError(f"rel={rel!r} in {text!r}: a grade of at least 1 is expected.")
        return RankingMeasure(name, cutoff, rel)
    return _from_ir_measures(text, name, cutoff, parameters)


def respelt(measures: str | Sequence[str | Measure]) -> str | None:
    """Return a sentence on measures that were written otherwise than they are shown, or None.

    Examples:
        >>> respelt("ndcg@10,RR@10")
        'The measure ndcg@10 is read as nDCG@10.'
    """
    given = [one for one in _parts(measures) if isinstance(one, str)]
    pairs = [(one.strip(), str(parse_measure(one))) for one in given]
    other = [f"{one} is read as {name}" for one, name in pairs if one.replace(" ", "") != name]
    return f"The measure {', '.join(other)}." if other else None


def parse_measures(measures: Sequence[str | Measure]) -> tuple[Measure, ...]:
    """Return the measures, in order; at least one, none twice.

    Raises:
        ConfigurationError: None, one that is unknown, or one that is named twice.
    """
    parsed = tuple(parse_measure(one) for one in _parts(measures))
    names = [str(one) for one in parsed]
    twice = [name for name in names if names.count(name) > 1]
    if not parsed or twice:
        what = f"{twice[0]} was given twice" if twice else "No measure was given"
        raise ConfigurationError(f"{what}; name each measure once, for instance nDCG@10,RR@10.")
    return parsed


def value_of(measure: Measure, ids: Sequence[str], qrels: Qrels) -> tuple[float, str]:
    """Return the value of a measure, and why it counts 0 where it gave no number; else nothing.

    A measure may be anybody's code: what fails on one query loses no other and no report.
    """
    try:
        value = float(measure(ids, qrels))
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return 0.0, f"raised {type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    return (value, "") if math.isfinite(value) else (0.0, f"gave {value}")


def oracle(measure: Measure, ids: Sequence[str], qrels: Qrels, top_n: int | None = None) -> float:
    """Return the value of the best order of `ids`: what no reranker of them can exceed.

    The first `top_n` of that order are judged; all for None.

    Examples:
        >>> oracle(parse_measure("RR"), ["a", "b"], {"b": 1})
        1.0
    """
    best = sorted(dict.fromkeys(ids), key=lambda one: -qrels.get(one, 0))
    return value_of(measure, best[:top_n], qrels)[0]


def ceilings(
    measure: Measure, ids: Sequence[str], qrels: Qrels, top_n: int | None = None
) -> tuple[float, float]:
    """Return `oracle`, and the value of the best order of all that is relevant.

    No reranker of `ids` can exceed the first, and no ranking at all the second. The arguments are
    those of `oracle`.

    Examples:
        >>> ceilings(parse_measure("P@10"), ["a", "c"], {"a": 1, "b": 1})
        (0.1, 0.2)
    """
    best = oracle(measure, ids, qrels, top_n)
    relevant = [one for one, grade in qrels.items() if grade > 0]
    # Some measures (Accuracy) have no value without something irrelevant.
    return best, max(best, oracle(measure, relevant, qrels, top_n))


def _parts(measures: str | Sequence[str | Measure]) -> Sequence[str | Measure]:
    if not isinstance(measures, str):
        return listed(measures, "measures", "names or measures")
    # Not at the commas inside brackets.
    return [part for part in re.split(r",(?![^()]*\))", measures) if part.strip()]


def _from_ir_measures(
    text: str, name: str, cutoff: float | None, parameters: Mapping[str, Any]
) -> IrMeasure:
    try:
        known = list(require("ir_measures", extra="ir").measures.registry)
    except MissingExtraError as error:
        raise MissingExtraError(
            f"{text!r} is none of {', '.join(_FORMULAS)} and Judged. Every other measure comes "
            f"from ir_measures. {error}",
            name=error.name,
        ) from error
    name = known_name(name, [*_FORMULAS, *known])
    measure = IrMeasure(name, cutoff, tuple(parameters.items()))
    measure.check()
    return measure
