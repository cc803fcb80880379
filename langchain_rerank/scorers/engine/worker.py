"""One thread per loaded model: every caller's texts share its batches.

No timer: whenever the thread is free it takes what waits, so an idle call waits for nobody, and
calls that arrive while it computes are computed together. Futures are the bridge to callers, in
threads as well as in asyncio.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from langchain_rerank.errors import (
    RerankError,
    ScorerClosedError,
    ScorerError,
    ScorerOutOfMemoryError,
    see,
)
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.engine.forward.passes import Forward
from langchain_rerank.scorers.engine.memory import (
    TokenBudget,
    give_back_freed,
    is_out_of_memory,
)
from langchain_rerank.scorers.engine.metrics import BusyTime, Metrics
from langchain_rerank.scorers.engine.plan import plan_batches, share_out
from langchain_rerank.scorers.engine.requests import Batch, Item, Request
from langchain_rerank.scorers.engine.tokens.pairs import Pair

MAX_WAITING_TEXTS = 200_000
# Batches that are tokenised and planned together: enough that neighbours in the order of lengths
# are alike, few enough that newcomers soon get their share.
_WAVE_BATCHES = 2
_MIN_WAVE_TEXTS = 8
# Giving freed memory back keeps the next batch waiting.
_SECONDS_BETWEEN_GIVING_BACK = 10.0


class Worker:
    """Scores requests in one thread of its own.

    Args:
        tokenize: Turns a query, texts and how to read them into pairs.
        forward: Computes pairs.
        budget: Tokens of all batches under way; shrinks when memory runs out.
        max_waiting: Texts that may wait; `submit` waits for room beyond that.
        in_flight: Batches launched before the first of them is waited for; 1 where `forward`
            computes them as they are launched, so that each is answered at once.
        name: The model's name, for messages.
        clock: The time in seconds.
    """

    def __init__(
        self,
        tokenize: Callable[[str, Sequence[str], Any], list[Pair]],
        forward: Forward,
        budget: TokenBudget,
        *,
        max_waiting: int = MAX_WAITING_TEXTS,
        in_flight: int = 1,
        name: str = "model",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._tokenize, self._forward, self._budget = tokenize, forward, budget
        self._max_waiting, self._most_in_flight, self._name = max_waiting, in_flight, name
        self._clock = clock
        self._requests: list[Request] = []
        self._taken: list[Request] = []  # With texts that are being computed.
        self._waiting = 0
        self._tokens_per_text = 128.0  # A guess until the first texts are tokenised.
        self._closed = False
        self._changed = threading.Condition()
        self._in_flight: deque[Batch] = deque()
        self._kept: list[Item] = []  # Tokenised, and too few for a batch while others wait.
        self._counted = Metrics()
        self._busy = BusyTime()
        self._gave_back = -math.inf
        self._thread = threading.Thread(
            target=self._run, name="langchain-rerank-engine", daemon=True
        )
        self._thread.start()

    def submit(
        self,
        query: str,
        texts: Sequence[str],
        reading: Any,
        *,
        max_batch_tokens: int | None = None,
    ) -> Future[Scores]:
        """Return the future scores of `texts`; waits while the queue is full.

        Args:
            query: The query.
            texts: `(n,)` texts.
            reading: How they are read; passed on to the tokeniser.
            max_batch_tokens: The most tokens of a batch with one of these texts, unless a single
                text has more.

        Raises:
            ScorerClosedError: The worker is closed.
        """
        with self._changed:
            while (
                future := self.try_submit(query, texts, reading, max_batch_tokens=max_batch_tokens)
            ) is None:
                self._changed.wait()
            return future

    def try_submit(
        self,
        query: str,
        texts: Sequence[str],
        reading: Any,
        *,
        max_batch_tokens: int | None = None,
    ) -> Future[Scores] | None:
        """Return the future scores of `texts`, or None when the queue is full.

        A request that is larger than the whole queue is taken when nothing else waits.

        Raises:
            ScorerClosedError: The worker is closed.
        """
        with self._changed:
            if not self.alive:
                raise ScorerClosedError(f"The model {self._name} was closed; use the scorer again.")
            if self._waiting and self._waiting + len(texts) > self._max_waiting:
                return None
            request = Request(query, tuple(texts), reading, max_batch_tokens, self._clock())
            self._requests.append(request)
            self._waiting += len(texts)
            self._changed.notify_all()
            return request.future

    def close(self) -> None:
        """Answer everyone who waits with `ScorerClosedError` and stop once the device is idle."""
        with self._changed:
            self._closed = True
            requests, self._requests, self._waiting = self._requests, [], 0
            self._changed.notify_all()
        for request in requests:
            request.fail(self._closed_error())

    @property
    def alive(self) -> bool:
        """Whether it answers: neither closed nor in a forked process, which has no such thread."""
        return not self._closed and self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has stopped; it holds the model until then."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def metrics(self) -> Metrics:
        """Return what was done so far, as a copy."""
        return replace(self._counted, seconds=self._busy.seconds, queue=self._waiting)

    def _closed_error(self) -> ScorerClosedError:
        return ScorerClosedError(f"The model {self._name} was closed before it answered.")

    # Everything below runs in the worker's own thread.

    def _run(self) -> None:
        try:
            while self._step():
                pass
        finally:
            # Only after a bug is anybody left to answer; they must not wait for ever.
            self.close()
            for request in self._taken:
                request.fail(self._closed_error())

    def _step(self) -> bool:
        """Do what there is to do, or wait for it; return False at the end."""
        items = self._next_items()
        if items is None:
            return False
        if items:
            self._compute(items)
        elif self._in_flight:
            self._deliver_oldest()
        return True

    def _compute(self, items: list[Item]) -> None:
        lengths = [item.pair.length for item in items]
        self._tokens_per_text = sum(lengths) / len(lengths)
        requests = [item.request for item in items]  # Texts of one query may share its prompt.
        most = self._batch_tokens(requests)
        padded = self._forward.padded
        batches = [
            [items[position] for position in batch]
            for batch in plan_batches(lengths, most, padded=padded, groups=requests)
        ]
        if self._requests and len(batches) > 1:
            left = sum(item.pair.length for item in batches[-1])
            if 2 * left < most:  # It is filled up with those that wait.
                self._kept = batches.pop()
        for batch in batches:
            self._launch(batch)

    def _batch_tokens(self, requests: Sequence[Request] = ()) -> int:
        bounds = [one.max_batch_tokens for one in requests if one.max_batch_tokens is not None]
        return min([max(1, self._budget.tokens // self._most_in_flight), *bounds])

    def _next_items(self) -> list[Item] | None:
        """Return tokenised texts, nothing while batches are still in flight, None at the end."""
        with self._changed:
            while True:
                self._drop_over()
                if self._closed and not self._in_flight:
                    return None
                remaining = [len(request.texts) - request.taken for request in self._requests]
                shares = share_out(remaining, self._wave_texts(sum(remaining)))
                if shares or self._in_flight or self._kept:
                    break
                self._changed.wait()
            parts: list[tuple[Request, int, int]] = []
            for position, count in shares:
                request = self._requests[position]
                parts.append((request, request.taken, request.taken + count))
                request.taken += count
                self._waiting -= count
            self._taken = [request for request in self._taken if not request.over]
            self._taken += [request for request, _, _ in parts]
            self._requests = [r for r in self._requests if r.taken < len(r.texts)]
            if parts:
                self._changed.notify_all()  # There is room again for blocked callers.
        kept, self._kept = self._kept, []
        return kept + [item for part in parts for item in self._tokenized(*part)]

    def _wave_texts(self, waiting: int) -> int:
        texts = self._batch_tokens(self._requests) / self._tokens_per_text
        if self._most_in_flight == 1 or self._forward.padded:
            texts *= _WAVE_BATCHES
        elif not self._in_flight and waiting > texts:
            texts /= 2  # The device starts on a part while the rest is tokenised.
        return max(_MIN_WAVE_TEXTS, int(texts))

    def _drop_over(self) -> None:
        waiting = [request for request in self._requests if not request.over]
        if len(waiting) < len(self._requests):
            self._requests = waiting
            self._waiting = sum(len(request.texts) - request.taken for request in waiting)
            self._changed.notify_all()  # There is room again for blocked callers.

    def _tokenized(self, request: Request, start: int, end: int) -> list[Item]:
        begun = self._clock()
        try:
            pairs = self._tokenize(request.query, request.texts[start:end], request.reading)
        except BaseException as error:  # noqa: BLE001  # a panic in tokenizers is no Exception
            self._fail(request, error)
            return []
        if not request.computing.running:
            request.tokenising += self._clock() - begun
        request.truncated += sum(pair.truncated for pair in pairs)
        return [Item(request, start + offset, pair) for offset, pair in enumerate(pairs)]

    def _launch(self, items: list[Item]) -> None:
        if self._closed:
            for item in items:
                item.request.fail(self._closed_error())
        items = [item for item in items if not item.request.over]
        if not items:
            return
        self._count_time(items, BusyTime.start)
        try:
            collect = self._forward.launch([item.pair for item in items])
        except Exception as error:  # noqa: BLE001  # see _recover
            self._count_time(items, BusyTime.stop)
            self._recover(items, error)
            return
        tokens = sum(item.pair.length for item in items)
        self._in_flight.append(Batch(items, tokens, collect))
        if len(self._in_flight) >= self._most_in_flight:
            self._deliver_oldest()

    def _count_time(self, items: list[Item], event: Callable[[BusyTime, float], None]) -> None:
        now = self._clock()
        for busy in (
            self._busy,
            *{item.request: item.request.computing for item in items}.values(),
        ):
            event(busy, now)

    def _deliver_oldest(self) -> None:
        at_once = sum(batch.tokens for batch in self._in_flight)
        batch = self._in_flight.popleft()
        try:
            scores = batch.collect()
        except Exception as error:  # noqa: BLE001  # see _recover
            self._count_time(batch.items, BusyTime.stop)
            self._recover(batch.items, error)
            return
        self._count_time(batch.items, BusyTime.stop)
        self._budget.fitted(at_once)
        self._counted.batches += 1
        self._counted.tokens += batch.tokens
        self._counted.texts += len(batch.items)
        self._counted.truncated += sum(item.pair.truncated for item in batch.items)
        for item, score in zip(batch.items, scores, strict=True):
            request = item.request
            request.scores[item.position] = score
            request.missing -= 1
            if not request.missing:
                request.succeed(self._clock())
        if self._clock() - self._gave_back > _SECONDS_BETWEEN_GIVING_BACK:
            give_back_freed()
            self._gave_back = self._clock()

    def _recover(self, items: list[Item], error: Exception) -> None:
        """Halve a batch that did not fit; otherwise find whose texts broke it, and fail those."""
        if is_out_of_memory(error):
            # The traceback's frames hold what the failed pass had computed, and so its memory.
            traceback.clear_frames(error.__traceback__)
            self._halve(items, error)
            return
        requests = list(dict.fromkeys(item.request for item in items))
        if len(requests) == 1:
            self._fail(requests[0], error)
            return
        for request in requests:
            self._launch([item for item in items if item.request is request])

    def _halve(self, items: list[Item], error: Exception) -> None:
        tokens = sum(item.pair.length for item in items)
        self._budget.shrink(tokens * self._most_in_flight)
        if len(items) > 1:
            self._counted.out_of_memory_retries += 1
            middle = len(items) // 2
            self._launch(items[:middle])
            self._launch(items[middle:])
            return
        failure = ScorerOutOfMemoryError(
            f"Out of memory while {self._name} scored one text of {tokens} tokens. Lower "
            f"max_length, use dtype='bfloat16' or a smaller model, or free memory on the device. "
            f"{see('out-of-memory')}"
        )
        failure.__cause__ = error
        self._fail(items[0].request, failure)

    def _fail(self, request: Request, error: BaseException) -> None:
        if isinstance(error, RerankError):
            request.fail(error)
            return
        failure = ScorerError(
            f"{self._name} could not score {len(request.texts)} texts: "
            f"{type(error).__name__}: {error}"
        )
        failure.__cause__ = error
        request.fail(failure)
