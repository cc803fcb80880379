"""Measures that ir_measures computes (extra `ir`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.optional import require


@dataclass(frozen=True)
class IrMeasure:
    """A measure of ir_measures.

    Attributes:
        name: Its name there.
        cutoff: How many ranks are looked at, or the recall for IPrec; None for all.
        parameters: Names and values.
    """

    name: str
    cutoff: float | None
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return str(self._measure)

    @cached_property
    def _measure(self) -> Any:
        ir_measures = require("ir_measures", extra="ir")
        # Not ir_measures.parse_measure: 0.4.3 uses ast.Num, which Python 3.14 no longer has.
        try:
            measure = getattr(ir_measures, self.name)(**dict(self.parameters))
            measure = measure if self.cutoff is None else measure @ self.cutoff
            measure.validate_params()
        except Exception as error:  # it raises whatever its operators raise
            raise ConfigurationError(
                f"ir_measures cannot build the measure {self.name} with cutoff {self.cutoff} and "
                f"parameters {dict(self.parameters)}: {error}"
            ) from error
        return measure

    def check(self) -> None:
        """Compute one value, so that what cannot be computed shows before anything is scored.

        Raises:
            ConfigurationError: No such measure, or nothing that is installed computes it.
        """
        named = str(self)
        try:
            self(["a", "b"], {"a": 1, "c": 1})
        except Exception as error:  # its providers raise whatever they raise, and run programs
            said = " ".join(str(error).split()).rstrip(".")
            raise ConfigurationError(
                f"{named!r} cannot be computed here: {said}. Install what "
                f"computes it, give the parameters that it needs (as in {self.name}(rel=1)), or "
                f"choose another measure."
            ) from error

    def __call__(self, ids: Sequence[str], qrels: Mapping[str, int]) -> float:
        """Return the value for one query; 0 where ir_measures has none."""
        ir_measures = require("ir_measures", extra="ir")
        unique = list(dict.fromkeys(ids))
        # Some measures are programs that read text files: a query is a number there, and an id has
        # no space.
        plain = {one: f"d{n}" for n, one in enumerate(dict.fromkeys([*unique, *qrels]))}
        # Scores made from ranks: how it breaks ties differs between its measures.
        ranked = {plain[one]: float(len(unique) - rank) for rank, one in enumerate(unique)}
        grades = {plain[one]: grade for one, grade in qrels.items()}
        run = {"1": ranked} if unique else {}
        try:
            value = float(
                ir_measures.calc_aggregate([self._measure], {"1": grades}, run)[self._measure]
            )
        except ZeroDivisionError:  # Accuracy, where nothing irrelevant was retrieved
            return 0.0
        return 0.0 if math.isnan(value) else value
