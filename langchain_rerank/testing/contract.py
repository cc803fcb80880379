"""The contract suite that every scorer, third-party ones too, can run.

With pytest, subclass `ScorerContract` and give a fixture; anywhere else, call `check_scorer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.testing.checks import CHECKS
from langchain_rerank.testing.samples import Samples


def contract_violations(scorer: Scorer, samples: Samples | None = None) -> dict[str, str]:
    """Return what each failed check saw, by the check's name; empty for a scorer that passes.

    Args:
        scorer: Any scorer.
        samples: What to check with; None takes general queries and texts.

    Examples:
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> contract_violations(WordOverlapScorer())
        {}
    """
    violations = {}
    for name, check in CHECKS.items():
        try:
            check(scorer, samples or Samples())
        except Exception as error:  # noqa: BLE001 - whatever it raises
            prefix = "" if type(error) is AssertionError else f"raised {type(error).__name__}: "
            violations[name] = f"{prefix}{error}"
    return violations


def check_scorer(
    make_scorer: Callable[[], Scorer],
    samples: Samples | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Make a scorer, run every check of the contract on it, and close it.

    Args:
        make_scorer: Makes the scorer; a class will do.
        samples: What to check with; None takes general queries and texts.
        expected_failures: Names of checks that are known to fail, and why; one that passes is
            reported too.

    Raises:
        AssertionError: The scorer breaks the contract; the message lists every failed check.

    Examples:
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> check_scorer(WordOverlapScorer)
    """
    scorer = make_scorer()
    try:
        violations = contract_violations(scorer, samples)
    finally:
        contract.close(scorer)
    for name, reason in (expected_failures or {}).items():
        if name not in CHECKS:
            raise AssertionError(f"There is no check {name!r}; there are {', '.join(CHECKS)}.")
        if violations.pop(name, None) is None:
            violations[name] = f"passes, though it is expected to fail ({reason}); take it out."
    if violations:
        lines = [f"  {name}: {message}" for name, message in violations.items()]
        raise AssertionError(
            f"{scorer_name(scorer)} breaks the scorer contract in {len(violations)} of "
            f"{len(CHECKS)} checks:\n" + "\n".join(lines)
        )


class ScorerContract:
    """The contract as pytest tests: subclass it with a fixture `scorer`.

    Attributes:
        samples: What to check with; a subclass may set its own, say with a wider tolerance for a
            16-bit model.
        expected_failures: Names of checks that are known to fail, and why: they are run, reported
            as expected failures, and fail once they pass.

    Examples:
        ```python
        @pytest.fixture(scope="module")  # loaded once
        def my_scorer():
            return MyScorer()

        class TestMyScorer(ScorerContract):
            @pytest.fixture
            def scorer(self, my_scorer):
                return my_scorer
        ```
    """

    samples: ClassVar[Samples] = Samples()
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make one test of each check (pytest calls this)."""
        if "check" in metafunc.fixturenames:
            import pytest

            expected = self.expected_failures
            metafunc.parametrize(
                "check",
                [
                    pytest.param(name, marks=pytest.mark.xfail(reason=expected[name], strict=True))
                    if name in expected
                    else name
                    for name in CHECKS
                ],
            )

    def test_contract(self, scorer: Scorer, check: str) -> None:
        """Run one check."""
        CHECKS[check](scorer, self.samples)
