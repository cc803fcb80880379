"""What a judge would be asked, counted before anything is spent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel

_CHARACTERS_PER_TOKEN = 4  # of English text, in the tokenizers of common models
_STATEMENTS = 3  # assumed wherever a judge lists statements
_PHRASE = "An assumed statement of the length that judges commonly write in their answers."


@dataclass(frozen=True)
class Estimate:
    """What judging costs.

    The number of calls is exact where every answer is usable at once. The tokens are estimated:
    prompts at four characters a token, answers with three statements each.

    Attributes:
        calls: Calls of the judge by metric.
        input_tokens: Tokens of all prompts, about.
        output_tokens: Tokens of all answers, about.
        saved: Calls that are not made, since the same was asked before, by another system or in an
            earlier run.
        chain_runs: How often chains have to answer first; their own cost is not known here.
        assumed_rows: How many rows were assumed (five contexts of 1,000 characters, a response of
            300), because a chain was not run.
    """

    calls: dict[str, int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    saved: int = 0
    chain_runs: int = 0
    assumed_rows: int = 0

    @property
    def total_calls(self) -> int:
        """Calls of the judge, over all metrics."""
        return sum(self.calls.values())

    def __str__(self) -> str:
        if not self.total_calls and not self.saved:
            return "The judge has nothing to answer."
        by_metric = ", ".join(f"{name} {count:,}" for name, count in self.calls.items())
        text = (
            f"{self.total_calls:,} calls of the judge{f' ({by_metric})' if by_metric else ''}, "
            f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        )
        if self.saved:
            text += f"; {self.saved:,} more are saved, since the same is never asked twice"
        if self.chain_runs:
            text += f"; before that, {self.chain_runs:,} runs of chains"
        if self.assumed_rows:
            text += f"; {self.assumed_rows:,} rows are assumed, since no chain was run"
        return f"{text}."


class Estimating:
    """Stands where the judge is asked, counts, and gives answers of the right shape."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.characters_in = 0
        self.characters_out = 0

    async def __call__(self, metric: str, prompt: str, model: type[BaseModel]) -> BaseModel:
        """Return an assumed answer."""
        answer = model.model_validate(_assumed(model))
        self.calls[metric] += 1
        self.characters_in += len(prompt)
        self.characters_out += len(answer.model_dump_json())
        return answer

    def estimate(self, saved: int, chain_runs: int) -> Estimate:
        """Return what was counted; a row is assumed for each chain that was not run."""
        return Estimate(
            calls=dict(self.calls),
            input_tokens=round(self.characters_in / _CHARACTERS_PER_TOKEN),
            output_tokens=round(self.characters_out / _CHARACTERS_PER_TOKEN),
            saved=saved,
            chain_runs=chain_runs,
            assumed_rows=chain_runs,
        )


def _assumed(kind: Any) -> Any:
    if get_origin(kind) is list:
        return [_assumed(get_args(kind)[0])] * _STATEMENTS
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: _assumed(one.annotation) for name, one in kind.model_fields.items()}
    return 1 if kind is int else _PHRASE
