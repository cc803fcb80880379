"""How often the evaluation's intervals and its rule for K are right, over known populations.

    python simulations/small_samples.py --out docs/project/small-samples.md

draws samples of queries, asks `langchain_rerank.evaluation` what it concludes from each, and writes
the shares as a page. Fixed seeds: the same repeats give the same page. Exit code 1 where a
criterion is not met.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from langchain_rerank.evaluation.score.bootstrap import DIFFERENCES, SIGNIFICANT, draws
from langchain_rerank.evaluation.score.choice import Choice, choose, margin_of
from langchain_rerank.evaluation.score.statistics import queries_needed, sign_flip_p

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

NS = (10, 20, 30, 50, 100, 300)
COVERED, FALSE, EQUAL, POWER = 0.93, 0.05, 0.90, 0.80  # the criteria
NOISE = 0.05  # standard deviation of the paired noise
_FLIPS = 200  # samples whose signs are flipped: each costs 10,000 patterns


@dataclass(frozen=True)
class Population:
    """Differences of two systems, query by query.

    Attributes:
        name: What they are.
        draw: Draws differences of a shape.
        mean: Their true mean.
    """

    name: str
    draw: Draw
    mean: float


def _rare(share: float, loss: float, gain: float = 0.0) -> Draw:
    return lambda chance, shape: np.where(chance.random(shape) < share, -loss, gain)


def _dense(mean: float, sd: float) -> Draw:
    return lambda chance, shape: np.clip(chance.normal(mean, sd, shape), -1.0, 1.0)


def _discrete(lost: float, won: float) -> Draw:
    return lambda chance, shape: chance.choice(
        [-1.0, 0.0, 1.0], shape, p=[lost, 1 - lost - won, won]
    )


POPULATIONS = (
    Population("dense: normal, mean .02, sd .1", _dense(0.02, 0.1), 0.02),
    Population("sparse: 5 % lose .6", _rare(0.05, 0.6), -0.03),
    Population("sparse: 2 % lose 1", _rare(0.02, 1.0), -0.02),
    Population("2 % lose 1, the others win 1/49: mean 0", _rare(0.02, 1.0, 1 / 49), 0.0),
    Population("discrete: 5 % lose 1, 15 % win 1", _discrete(0.05, 0.15), 0.1),
)


@dataclass(frozen=True)
class Row:
    """A row of a table: what it is about, and a share for each column."""

    name: str
    shares: tuple[float, ...]


def percentile(x: Floats, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the ends of the 95 % percentile bootstrap interval of each row of `x`."""
    n = x.shape[1]
    counts = chance.multinomial(n, np.full(n, 1 / n), 4000) / n
    low, high = np.quantile(counts @ x.T, [0.025, 0.975], axis=0)
    return low, high


def student(x: Floats) -> tuple[Floats, Floats]:
    """Return the ends of Student's 95 % interval of each row of `x`."""
    n = x.shape[1]
    half = stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def ours(x: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the package's 95 % interval of each row of `x`."""
    drawn = draws(x.T)
    low, high = zip(*(drawn.interval(one, DIFFERENCES) for one in range(len(x))), strict=True)
    return np.array(low), np.array(high)


def coverage(repeats: int, ns: Sequence[int]) -> dict[str, list[Row]]:
    """Return how often the intervals of each method hold the true mean, by population and n."""
    chance = np.random.default_rng(1)
    found: dict[str, list[Row]] = {"Gaffke": [], "percentile bootstrap": [], "t": []}
    for population in POPULATIONS:
        shares: dict[str, list[float]] = {name: [] for name in found}
        for n in ns:
            x = population.draw(chance, (repeats, n))
            ends = {
                "Gaffke": ours(x),
                "percentile bootstrap": percentile(x, chance),
                "t": student(x),
            }
            for name, (low, high) in ends.items():
                holds = (low <= population.mean + 1e-9) & (high >= population.mean - 1e-9)
                shares[name].append(float(holds.mean()))
        for name, rows in found.items():
            rows.append(Row(population.name, tuple(shares[name])))
    return found


def false_better(repeats: int, ns: Sequence[int]) -> list[Row]:
    """Return how often "better" is said of a true difference of 0, by p value and n."""
    chance = np.random.default_rng(2)
    population = POPULATIONS[3]
    by_bound, by_flips = [], []
    for n in ns:
        x = population.draw(chance, (repeats, n))
        drawn = draws(x.T)
        better = [drawn.p_value(i) < SIGNIFICANT and x[i].mean() > 0 for i in range(repeats)]
        by_bound.append(float(np.mean(better)))
        flips = [(sign_flip_p(one) or 0.0, one.mean()) for one in x[:_FLIPS]]
        by_flips.append(float(np.mean([p < SIGNIFICANT and mean > 0 for p, mean in flips])))
    return [Row("p of the report", tuple(by_bound)), Row("sign-flip p", tuple(by_flips))]


@dataclass(frozen=True)
class World:
    """Depths and what they lose against the last one; the first finds nothing.

    Attributes:
        name: What they lose.
        draw: Draws the differences `(n,)` of each depth between the first and the last.
        losses: The true mean losses of these depths; negative where they are better.
    """

    name: str
    draw: Draw
    losses: tuple[float, ...]

    def sample(self, chance: np.random.Generator, n: int) -> Floats:
        """Return the values `(n, k)` of n queries."""
        x = np.stack([self.draw(chance, (n,)) for _ in self.losses], axis=1)
        if len(self.losses) == 1:  # both ends of the range can be reached
            return np.hstack([np.zeros((n, 1)), 0.5 + x / 2, 0.5 - x / 2])
        return np.hstack([np.zeros((n, 1)), 1.0 + x, np.ones((n, 1))])

    def true(self, position: int) -> float:
        """Return how much a depth really loses against the best."""
        losses = (1.0, *self.losses, 0.0)
        return losses[position] - min(losses)


WORLDS = (
    *(World(one.name, one.draw, (-one.mean,)) for one in POPULATIONS),
    World("1.8 % lose .6", _rare(0.018, 0.6), (0.0108,)),
    World("each of five depths loses .6 in its own 2 %", _rare(0.02, 0.6), (0.012,) * 5),
)


def asked(values: Floats, margin: float, world: World) -> tuple[bool, bool, int]:
    """Return whether a depth is recommended, whether falsely, and which.

    False is a depth whose true loss is more than the margin that the rule names.
    """
    found: Choice = choose(values, margin=margin)
    wrong = found.recommended and world.true(found.position) > found.margin + 1e-9
    return found.recommended, wrong, found.position


def rule(repeats: int, ns: Sequence[int], margin: float = 0.01) -> tuple[list[Row], list[Row]]:
    """Return how often K is recommended, and how often falsely, by world and n."""
    chance = np.random.default_rng(3)
    said, wrong = [], []
    for world in WORLDS:
        by_n = [
            np.mean(
                [asked(world.sample(chance, n), margin, world)[:2] for _ in range(repeats)], axis=0
            )
            for n in ns
        ]
        said.append(Row(world.name, tuple(float(one[0]) for one in by_n)))
        wrong.append(Row(world.name, tuple(float(one[1]) for one in by_n)))
    return said, wrong


def power(repeats: int) -> list[tuple[str, float, int, float, float]]:
    """Return (world, margin, n, share that recommends the second of three depths, what is asked).

    The second is as good as the third, in every query or with noise between the two.
    """
    chance = np.random.default_rng(4)
    equal = World("equal in every query", lambda _, shape: np.zeros(shape), (0.0,))
    noise = World(f"paired noise, sd {NOISE:g}", _dense(0.0, NOISE), (0.0,))
    wanted = [(equal, 0.03, 100, EQUAL), (equal, 0.01, 300, EQUAL)]
    for margin in (0.03, 0.02, 0.01):
        n = queries_needed(0.0, NOISE, margin)
        if n is None:
            raise RuntimeError(f"no number of queries shows a margin of {margin}")
        wanted.append((noise, margin, n, POWER))
    found = []
    for world, margin, n, least in wanted:
        positions = [
            position if said else None
            for said, _, position in (
                asked(world.sample(chance, n), margin, world) for _ in range(repeats)
            )
        ]
        found.append((world.name, margin, n, positions.count(1) / repeats, least))
    return found


@dataclass(frozen=True)
class Results:
    """What `simulate` found; see the functions above."""

    repeats: int
    ns: tuple[int, ...]
    coverage: dict[str, list[Row]]
    better: list[Row]
    said: list[Row]
    wrong: list[Row]
    power: list[tuple[str, float, int, float, float]]

    def unmet(self) -> list[str]:
        """Return the criteria that are not met, in sentences; shares have their standard error."""
        slack = 2.0 * math.sqrt(0.05 * 0.95 / self.repeats) if self.repeats < 1000 else 0.0
        found = [
            f"the interval covers {share:.3f} at n = {n} ({row.name})"
            for row in self.coverage["Gaffke"]
            for n, share in zip(self.ns, row.shares, strict=True)
            if share < COVERED - slack
        ]
        found += [
            f"{share:.3f} false recommendations at n = {n} ({row.name})"
            for row in self.wrong
            for n, share in zip(self.ns, row.shares, strict=True)
            if share > FALSE + slack
        ]
        found += [
            f"{share:.3f} recommended at n = {n}, margin {margin:g} ({name}); {least:g} is asked"
            for name, margin, n, share, least in self.power
            if share < least - 2.0 * slack
        ]
        return found


def simulate(repeats: int, ns: Sequence[int] = NS) -> Results:
    """Return how often the conclusions are right in `repeats` samples of each population."""
    said, wrong = rule(repeats, ns)
    return Results(
        repeats=repeats,
        ns=tuple(ns),
        coverage=coverage(repeats, ns),
        better=false_better(repeats, ns),
        said=said,
        wrong=wrong,
        power=power(repeats),
    )


def page(results: Results) -> str:
    """Return the results as a page of the documentation."""
    named = ", ".join(f"{margin_of(0.01, n):.2g} at {n}" for n in results.ns)
    return f"""# Small samples

How often the intervals of a report and its rule for K are right, in {results.repeats:,} samples of
each population. Written by `make simulate`; [the guide](../guides/evaluation.md#choose-k) has the
method.

## Intervals

Share of the 95 % intervals that hold the true mean, by the number of queries. At least {COVERED:g}
is asked of the package's, which are Gaffke's.

{_grouped(results.coverage, results.ns)}

## Better, where nothing is

Share of the samples of which "better" is said at p < 0.05, in the population with a true difference
of 0. The sign-flip p is below 0.05 because the systems are not interchangeable, not because one has
the larger mean. (Sign flips: {min(_FLIPS, results.repeats)} samples.)

{_table("p value", results.better, results.ns)}

## Which K

Three depths (seven in the last population): the first finds nothing, the others differ from the
last as the population says. Said: share of the samples in which a depth is recommended. False:
share in which the recommended depth loses more than the margin that the sentence names, at most
{FALSE:g}. Asked for is 0.01; the margin named is {named}. Under 60 queries nothing is recommended.

{_grouped({"said": results.said, "false": results.wrong}, results.ns)}

## Where the second depth is as good as the third

Share of the samples in which the second is recommended: of equal values at the numbers given, of
noise at the number that "queries needed" names.

{_power(results.power)}
"""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(heading: str, rows: Sequence[Row], ns: Sequence[int]) -> str:
    lines = [_line([heading, *(f"n = {n}" for n in ns)]), _line(["---", *["---:"] * len(ns)])]
    lines += [_line([row.name, *(f"{share:.3f}" for share in row.shares)]) for row in rows]
    return "\n".join(lines)


def _grouped(groups: dict[str, list[Row]], ns: Sequence[int]) -> str:
    shown = [
        Row(f"{row.name}: {group}", row.shares)
        for rows in zip(*groups.values(), strict=True)
        for group, row in zip(groups, rows, strict=True)
    ]
    return _table("Population", shown, ns)


def _power(found: Sequence[tuple[str, float, int, float, float]]) -> str:
    lines = [_line(["Population", "Margin", "n", "Said", "Asked"]), "|---|---:|---:|---:|---:|"]
    lines += [
        _line([name, f"{margin:g}", str(n), f"{share:.3f}", f"{least:g}"])
        for name, margin, n, share, least in found
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description="Simulate the conclusions from small samples.")
    parser.add_argument("--repeats", type=int, default=1000, help="samples of each population")
    parser.add_argument("--out", type=Path, help="file of the page (default: standard output)")
    chosen = parser.parse_args(arguments)
    results = simulate(chosen.repeats)
    if chosen.out is None:
        sys.stdout.write(page(results))
    else:
        chosen.out.write_text(page(results), encoding="utf-8")
    unmet = results.unmet()
    sys.stderr.write("".join(f"not met: {one}\n" for one in unmet))
    return 1 if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
