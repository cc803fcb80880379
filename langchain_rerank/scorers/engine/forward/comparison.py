"""Whether a forward pass gives the logits of the model's own `predict`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ModelLoadError, see
from langchain_rerank.scorers.engine.device import float32_products
from langchain_rerank.scorers.engine.forward.passes import Forward, activated
from langchain_rerank.scorers.engine.forward.predict import Predict, precision_of
from langchain_rerank.scorers.engine.forward.verdicts import Verdicts
from langchain_rerank.scorers.engine.settings import DEFAULT_MAX_LENGTH
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize
from langchain_rerank.scorers.engine.tokens.probes import LONG_QUERY, PROBES, long_text
from langchain_rerank.scorers.engine.tokens.reference import Reference
from langchain_rerank.scorers.engine.tokens.templates import long_probes, same_tokens

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)


def short_pairs() -> list[tuple[str, str]]:
    """Return the probes that every load computes."""
    return [(query, text) for query, texts in PROBES for text in texts]


def long_pairs(model: CrossEncoder, tokenize: Tokenize, max_length: int) -> list[tuple[str, str]]:
    """Return the long probes of which the model's own tokens are ours.

    An older sentence-transformers cuts the end off a prompt that is too long; that is no reference.
    """
    reference = Reference(model, max_length)
    return [
        (LONG_QUERY, text)
        for text in long_probes(model, min(max_length, DEFAULT_MAX_LENGTH))
        if same_tokens(tokenize, reference, LONG_QUERY, [text])
    ]


class Expected:
    """The logits that a model's own `predict` gives for some probes.

    Args:
        pairs: Returns the probes; they are looked for, tokenised, and computed by `predict` on use,
            each once.
        more_exact: Returns `predict` of the same model with twice the bits, or None; called on use.
        beside: Other probes, which show as well what rounding does.
    """

    def __init__(
        self,
        model: CrossEncoder,
        dtype: torch.dtype,
        predict: Predict,
        pairs: Callable[[], Sequence[tuple[str, str]]],
        tokenize: Tokenize,
        max_length: int,
        more_exact: Callable[[], Predict | None],
        beside: Sequence[Expected] = (),
    ) -> None:
        self._find_pairs, self._more_exact, self._beside = pairs, more_exact, beside
        self._model, self._dtype, self._predict = model, dtype, predict
        self._tokenize, self._max_length = tokenize, max_length
        self._alone: list[float] = []  # The logits of the first probes, each computed alone.

    @cached_property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The probes."""
        return self._find_pairs()

    @cached_property
    def logits(self) -> NDArray[np.float64]:
        """`(n,)`."""
        import numpy as np

        return np.asarray(self._predict.logits(self.pairs, self._max_length))

    @cached_property
    def _tokens(self) -> list[Pair]:
        return [pair for query, text in self.pairs for pair in self._tokenize(query, [text], None)]

    def _other_logits(self) -> Iterator[NDArray[np.float64]]:
        """Yield `(k,)` logits of the first `k` probes, computed by the model beside other texts."""
        import numpy as np
        import torch

        if precision_of(self._model) != self._dtype:  # A backend that converts by itself.
            with torch.autocast(self._model.device.type, self._dtype):
                yield np.asarray(self._predict.logits(self.pairs, self._max_length))
            return
        for number, pair in enumerate(self.pairs):
            if number == len(self._alone):
                self._alone.extend(self._predict.logits([pair], self._max_length))
            yield np.asarray(self._alone[: number + 1])

    def _is_noise(self, differences: NDArray[np.float64], least: NDArray[np.float64]) -> bool:
        """Return whether the model's own logits move as much with what is beside them.

        They are rounded themselves, so less than half of their last bit is not seen. The probes are
        computed until enough is seen; a model that loads need not compute all.
        """
        import numpy as np
        import torch

        powers = np.floor(np.log2(np.maximum(np.abs(self.logits), 1)))
        noise = torch.finfo(self._dtype).eps * 2.0**powers / 2
        if (differences <= np.maximum(least, 3 * noise)).all():
            return True
        for other in self._other_logits():
            noise = np.maximum(noise, np.max(np.abs(self.logits[: len(other)] - other)))
            if (differences <= np.maximum(least, 3 * noise)).all():
                return True
        return False

    @cached_property
    def _exact_logits(self) -> NDArray[np.float64] | None:
        import numpy as np

        try:
            if predict := self._more_exact():
                return np.asarray(predict.logits(self.pairs, self._max_length))
        except Exception as error:  # noqa: BLE001  # what cannot be computed so tells nothing
            logger.debug("Its scores could not be computed more exactly: %s", error)
        return None

    @cached_property
    def _rounding(self) -> float:
        """The most that rounding moves a logit of the model's own `predict`, as far as is known."""
        import numpy as np

        right = self._exact_logits
        return 0.0 if right is None else float(np.max(np.abs(self.logits - right)))

    def _is_as_close(self, found: NDArray[np.float64], least: NDArray[np.float64]) -> bool:
        """Return whether logits are as close to the more exact ones as the model's own are.

        A GPU gives a text the same bits beside any other texts, and other bits by other kernels.
        """
        import numpy as np

        right = self._exact_logits
        if right is None:
            return False
        noise = max(one._rounding for one in (self, *self._beside))  # noqa: SLF001  # of this class
        return bool((np.abs(found - right) <= np.maximum(least, 2 * noise)).all())

    def by(self, forward: Forward) -> NDArray[np.float64]:
        """Return the `(n,)` logits that `forward` gives."""
        import numpy as np

        return np.asarray(forward.launch(self._tokens)())

    def objection(self, forward: Forward) -> str | None:
        """Return how much `forward` differs, if it differs by more than rounding."""
        import numpy as np
        import torch

        found = self.by(forward)
        differences = np.abs(found - self.logits)
        scale = np.maximum(1.0, np.abs(self.logits))
        least = (2**-8 if torch.finfo(self._dtype).bits < 32 else 1e-5) * scale
        # Each comparison is false for NaN, which is within no tolerance.
        if (differences <= least).all():
            return None
        # What moves float32 by more than this is no rounding, whatever else moves it as much.
        most = 1e-4 * scale if _is_exact(self._dtype) else np.full_like(scale, np.inf)
        if (differences <= most).all() and (
            self._is_noise(differences, least) or self._is_as_close(found, least)
        ):
            return None
        return f"scores differ from its own by {np.max(differences):.2g} on test texts"


def _is_exact(dtype: torch.dtype) -> bool:
    """Return whether products are computed in float32 or more."""
    import torch

    return torch.finfo(dtype).bits >= 32 and float32_products() == "highest"


def rounding_objection(
    short: Expected, long: Expected, forward: Forward, verdicts: Verdicts, path: str
) -> str | None:
    """Return why a model in int8 is not used: it mixes up the order, or is far off.

    Rounding moves every logit a little, so that what is asked of other paths cannot be.
    """
    import numpy as np

    agreed = verdicts.get(path)
    probes = [short] if agreed or not long.pairs else [short, long]
    found = np.concatenate([one.by(forward) for one in probes])
    right = np.concatenate([one.logits for one in probes])
    off = float(np.max(np.abs(found - right)))
    order = 1.0 if agreed else _rank_correlation(found, right)
    reason = None
    if not (off <= _MOST_OFF and order >= _LEAST_ORDER):  # written so that NaN does not pass
        reason = (
            f"its logits are up to {off:.2g} off on test texts, in an order of rank correlation "
            f"{order:.3f}"
        )
    if agreed is None:
        verdicts.put(path, agrees=reason is None)
    return reason


_MOST_OFF, _LEAST_ORDER = 1.0, 0.98


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    import numpy as np

    first, second = (one.argsort(kind="stable").argsort(kind="stable") for one in (a, b))
    return float(np.corrcoef(first, second)[0, 1])


def long_objection(long: Expected, forward: Forward, verdicts: Verdicts, path: str) -> str | None:
    """Return how much `forward` differs on the long probes, computed once for all processes."""
    agreed = verdicts.get(path)
    if agreed is not None:
        return None if agreed else "scores differed from its own on long test texts before"
    if not long.pairs:
        return None
    reason = long.objection(forward)
    verdicts.put(path, agrees=reason is None)
    return reason and reason.replace("test texts", "long test texts")


def refuse_company(
    predict: Predict,
    dtype: torch.dtype,
    name: str,
    max_length: int,
    more_exact: Callable[[], Predict | None] | None = None,
) -> None:
    """Refuse a model that gives a pair another score beside other pairs.

    16 bits could hide what a convolution over padding changes, say, so that they are computed more
    exactly where there is a way and room.

    Raises:
        ModelLoadError: It does.
    """
    import numpy as np
    import torch

    found = None
    if more_exact is not None and torch.finfo(dtype).bits < 32:
        try:
            if exact := more_exact():
                found, dtype = _beside_others_and_alone(exact, max_length), torch.float32
        except Exception as error:  # noqa: BLE001  # memory may run out; then in 16 bits
            logger.debug("%s could not be computed more exactly: %s", name, error)
    together, alone = found or _beside_others_and_alone(predict, max_length)
    coarse = 0.0125 if dtype == torch.float16 else 0.1
    tolerance = 1e-4 if _is_exact(dtype) else coarse
    difference = np.max(np.abs(together - alone))
    if difference > tolerance * np.max(np.maximum(1.0, np.abs(alone))):
        raise ModelLoadError(
            f"{name} gives a pair another score beside other pairs than alone (its own predict: "
            f"{difference:.2g} apart), so no score is the right one. Where its code compares texts "
            f"with each other, it is listwise: see ListwiseScorer. Where it is quantised "
            f"dynamically, numbers are rounded by the range of a batch: load it unquantised. Else "
            f"its padding is wrong: check that config.pad_token_id is the tokenizer's. "
            f"{see('a-model-could-not-be-loaded')}"
        )


def _beside_others_and_alone(
    predict: Predict, max_length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    # Beside a longer one all have padding.
    longer = long_text(100, lambda text: len(text.split()))
    pairs = [*short_pairs(), (LONG_QUERY, longer)]
    alone = [predict([pair], max_length)[0] for pair in pairs]
    return np.asarray(predict(pairs, max_length)), np.asarray(alone)


def refuse_mixing_activation(
    activation: Any, logits: NDArray[np.float64], device: torch.device, name: str
) -> None:
    """Refuse an activation that makes another score of a logit beside other logits.

    Texts of a query may be computed in several batches, and could not be compared. It is applied
    where the model computes: it may have weights there.

    Raises:
        ModelLoadError: It does, as a softmax over the texts, or at random.
    """
    import torch

    column = torch.from_numpy(logits).float().to(device)
    together = activated(activation, column)
    alone = torch.cat([activated(activation, one[None]) for one in column])
    if not torch.allclose(together, alone, atol=1e-6, equal_nan=True):
        raise ModelLoadError(
            f"The activation of {name} ({type(activation).__name__}) makes another score of a "
            f"logit beside other logits than alone, so no score is the right one. Use one that is "
            f"applied to each logit by itself: model.activation_fn = torch.nn.Sigmoid(). "
            f"{see('a-model-could-not-be-loaded')}"
        )
