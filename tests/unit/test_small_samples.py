"""The simulation of what is concluded from small samples, and the page that it wrote."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def simulation():
    path = ROOT / "simulations" / "small_samples.py"
    spec = importlib.util.spec_from_file_location("small_samples", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_population_has_the_mean_that_it_says(simulation):
    chance = np.random.default_rng(0)
    for one in simulation.POPULATIONS:
        assert one.draw(chance, (400_000,)).mean() == pytest.approx(one.mean, abs=0.002)
    for world in simulation.WORLDS:
        means = world.sample(chance, 400_000).mean(axis=0)
        assert means[-1] - means[1] == pytest.approx(world.losses[0], abs=0.002)
        assert world.true(int(np.argmax(means[1:])) + 1) == pytest.approx(0.0, abs=1e-9)


def test_a_rule_that_is_too_bold_does_not_pass(simulation, monkeypatch):
    bold = lambda values, margin: simulation.Choice(  # noqa: E731
        1, True, margin, 1, (), (), (), None, ()
    )
    monkeypatch.setattr(simulation, "choose", bold)
    _, wrong = simulation.rule(20, [300])
    assert max(share for row in wrong for share in row.shares) == 1.0


def test_the_page_of_the_docs_is_the_simulations_and_meets_its_criteria(simulation):
    page = (ROOT / "docs" / "project" / "small-samples.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| ([^|]+) \|((?: [\d.]+ \|)+)$", page, flags=re.MULTILINE))
    rows = {name: [float(one) for one in re.findall(r"[\d.]+", row)] for name, row in table.items()}
    assert f"in {1000:,} samples" in page
    for one in simulation.POPULATIONS:
        covered = rows[f"{one.name}: Gaffke"]
        assert len(covered) == len(simulation.NS)
        assert min(covered) >= simulation.COVERED
    for world in simulation.WORLDS:
        assert max(rows[f"{world.name}: false"]) <= simulation.FALSE
    power = [
        [float(one) for one in re.findall(r"\| ([\d.]+)", line)]
        for line in page.splitlines()
        if line.startswith(("| equal in", "| paired noise"))
    ]
    assert [(margin, n) for margin, n, _, _ in power] == [
        (0.03, 100),
        (0.01, 300),
        (0.03, 127),
        (0.02, 200),
        (0.01, 458),
    ]
    assert all(said >= asked for _, _, said, asked in power)


@pytest.mark.slow
def test_a_short_simulation_meets_the_criteria_and_writes_the_page(simulation, tmp_path, capsys):
    out = tmp_path / "page.md"
    assert simulation.main(["--repeats", "60", "--out", str(out)]) == 0, capsys.readouterr().err
    assert out.read_text(encoding="utf-8").startswith("# Small samples")
