"""Measures as people write them: `ndcg@10`, `mrr`, `P_10`, `recall_at_100`, `hit@5`."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection
from typing import Any

from langchain_rerank.errors import ConfigurationError

# Names in small letters, of trec_eval, ir_measures, MTEB and others, for the six and Judged.
_NAMES = {
    **dict.fromkeys(("ndcg", "ndcg_cut"), "nDCG"),
    **dict.fromkeys(("rr", "mrr", "recip_rank", "reciprocal_rank"), "RR"),
    **dict.fromkeys(("r", "recall"), "R"),
    **dict.fromkeys(("p", "precision"), "P"),
    **dict.fromkeys(("success", "hit", "hits", "hit_rate", "hitrate"), "Success"),
    **dict.fromkeys(("ap", "map", "map_cut"), "AP"),
    "judged": "Judged",
}
# Names of trec_eval that differ from those of ir_measures by more than their case.
_OF_TREC_EVAL = {
    "iprec_at_recall": "IPrec",
    "set_p": "SetP",
    "set_recall": "SetR",
    "set_f": "SetF",
    "set_map": "SetAP",
    "num_q": "NumQ",
    "num_ret": "NumRet",
    "num_rel": "NumRel",
    "num_rel_ret": "NumRelRet",
}
_PATTERN = re.compile(
    r"(?P<name>[^\W\d]\w*?)(?:\((?P<parameters>.*)\))?(?:(?:@|_at_|_|\.)(?P<cutoff>\d+(?:\.\d+)?))?"
)


def taken_apart(text: str) -> tuple[str, int | float | None, dict[str, Any]]:
    """Return name, cutoff (a share for measures at a recall) and parameters of a measure.

    Raises:
        ConfigurationError: It has no such parts.

    Examples:
        >>> taken_apart("ndcg_cut_10"), taken_apart("nDCG(gains={0: 1, 1: 4})@5")
        (('nDCG', 10, {}), ('nDCG', 5, {'gains': {0: 1, 1: 4}}))
    """
    match = _PATTERN.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no measure; expected NAME, NAME@CUTOFF or NAME(rel=GRADE)@CUTOFF, "
            f"for instance nDCG@10."
        )
    written = match["cutoff"]
    cutoff = None if written is None else float(written) if "." in written else int(written)
    small = match["name"].lower()
    name = _NAMES.get(small) or _OF_TREC_EVAL.get(small) or match["name"]
    return name, cutoff, _parameters(text, match["parameters"] or "")


def known_name(written: str, known: Collection[str]) -> str:
    """Return the name among `known` that differs from `written` by its case at most.

    Raises:
        ConfigurationError: There is none; the message has the nearest.
    """
    if written in known:
        return written
    by_small = {one.lower(): one for one in reversed([*known])}
    if written.lower() in by_small:
        return by_small[written.lower()]
    close = difflib.get_close_matches(written.lower(), [*_NAMES, *by_small], n=1, cutoff=0.5)
    nearest = _NAMES.get(close[0]) or by_small.get(close[0]) if close else None
    hint = f" Did you mean {nearest}?" if nearest else ""
    raise ConfigurationError(f"There is no measure {written!r}.{hint} Known: {', '.join(known)}.")


def _parameters(text: str, inside: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"f({inside})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("a name for each value was expected")  # noqa: TRY301 - one message
        return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords if one.arg}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ConfigurationError(
            f"The parameters of the measure {text!r} cannot be read; expected (rel=GRADE)."
        ) from error
