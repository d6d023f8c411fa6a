"""`Executor.map`: calls in batches, the larger the shorter they are.

A task of short calls is a batch of them, so that a microsecond call costs microseconds; long
calls go one by one. A batch that was formed too large comes back unfinished after a moment
(`model.context.TURN_TAG`), and its rest goes out again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FuturesTimeout
from itertools import islice
from typing import Any, NamedTuple

from covey.client.calls import map_payload, result_of, results_before
from covey.client.future import Future
from covey.model.context import MAP_TAG, TURN_TAG
from covey.model.task import OutcomeState

#: Calls in one batch at most.
BATCH_MAX = 1024
#: A batch should keep a slot busy for about this long.
BATCH_S = 0.01
#: Arguments and results of one batch are not aimed to be larger than this.
BATCH_BYTES = 1 << 16
#: Batches handed out and not back, per slot.
AHEAD_PER_SLOT = 3
#: From this many slots on, more ahead changes nothing.
SLOTS_MAX = 64

#: submit(future, payload, deliver)
Submit = Callable[["Future[Any]", bytes, Callable[["Future[Any]", bytes | None, int], None]], None]
Call = tuple[Any, ...]


class Part(NamedTuple):
    """What the future of a batch gives: its values, then the exception, or the futures of what is
    left of it.
    """

    values: list[Any]
    error: BaseException | None = None
    rest: "tuple[Future[Part], ...]" = ()


class Batching(NamedTuple):
    """How calls are put into tasks."""

    #: Calls per task: exactly `size`, or as many as suit, beginning with one.
    size: int
    adapts: bool
    #: Batches taken from the inputs ahead of the results; None = all inputs at once.
    ahead: int | None
    slots: int
    #: All batches go out at once: whoever works on them may outlive us.
    is_eager: bool = False


class Mapping:
    """One call of `map`. Batches are formed by the thread that delivers, results taken by the
    caller's; with `ahead`, batches are formed by the caller's thread as well.
    """

    def __init__(
        self,
        make_future: Callable[[], "Future[Any]"],
        submit: Submit,
        calls: Iterator[Call],
        how: Batching,
    ) -> None:
        self._make_future = make_future
        self._submit = submit
        self._source = calls
        self._how = how
        self._slots = min(how.slots, SLOTS_MAX)
        self._batch = how.size
        self._sent = 0
        self._flying = 0
        #: Calls that came back with the time that they took there, and that time in all.
        self._timed = 0
        self._took_s = 0.0
        #: Arguments of all calls that were sent, and results of those that were timed.
        self._sent_bytes = 0
        self._got_bytes = 0
        self._started = time.perf_counter()
        self._is_over = False
        #: Held while a batch gets its place: the caller's thread and the loop both form batches.
        self._lock = threading.RLock()
        #: In the order of the calls.
        self._futures: deque[Future[Part]] = deque()
        #: Like the standard library: all inputs are taken now, unless a buffer is asked for.
        self._calls: deque[Call] = deque(calls if how.ahead is None else ())
        if how.ahead is None:
            self._form()
        else:
            for _ in range(how.ahead):
                self._take()

    def results(self, timeout: float | None, keep: object = None) -> Iterator[Any]:
        """The results in the order of the calls.

        Args:
            timeout: seconds after the call of `map`.
            keep: kept until the end of the iteration.

        Raises:
            TimeoutError: the next result is not there in time.
            BaseException: what the call raised.
        """
        until = None if timeout is None else self._started + timeout
        try:
            while self._futures:
                if self._how.ahead is not None:
                    self._take()
                values, error, rest = self._wait(self._futures[0], until)
                # No reference to what has been given away.
                self._futures.popleft()
                self._futures.extendleft(reversed(rest))
                del rest
                values.reverse()
                while values:
                    yield values.pop()
                if error is not None:
                    raise error
        finally:
            self._is_over = True
            while self._futures:
                _abandon(self._futures.popleft())
            del keep

    def _wait(self, future: "Future[Part]", until: float | None) -> Part:
        if until is None:
            return future.result()
        left = until - time.perf_counter()
        if left <= 0 and not future.done():
            raise FuturesTimeout
        return future.result(max(0.0, left))

    def _take(self) -> None:
        """One batch more out of the inputs."""
        batch = list(islice(self._source, self._how.size))
        if batch:
            self._launch(*self._place(batch))

    def _form(self) -> None:
        """Hand out batches until enough are under way."""
        calls = self._calls
        while True:
            with self._lock:
                if not calls or self._is_over or self._is_enough():
                    return
                # The last ones are shared out, so that no slot waits for another's large batch.
                share = -(-len(calls) // self._slots)
                size = min(self._batch, share) if self._how.adapts else self._batch
                placed = self._place([calls.popleft() for _ in range(min(size, len(calls)))])
            self._launch(*placed)

    def _is_enough(self) -> bool:
        return self._flying >= AHEAD_PER_SLOT * self._slots and not self._how.is_eager

    def _place(self, batch: list[Call]) -> tuple["Future[Part]", list[Call], int]:
        with self._lock:
            future = self._make_future()
            self._futures.append(future)
            first, self._sent = self._sent + 1, self._sent + len(batch)
        return future, batch, first

    def _launch(self, future: "Future[Part]", batch: list[Call], first: int) -> None:
        """first: the number of the first call, from 1."""
        try:
            payload = map_payload(TURN_TAG if self._how.adapts else MAP_TAG, batch, first)
        except Exception as error:  # noqa: BLE001 - told where the result would have been
            future.deliver(Part([], error), None)
            return
        with self._lock:
            self._flying += 1
            self._sent_bytes += len(payload)
        self._submit(
            future, payload, lambda f, report, state: self._deliver(f, report, state, batch, first)
        )
        if self._is_over:
            future.cancel()

    def _deliver(
        self,
        future: "Future[Part]",
        report: bytes | None,
        state: int,
        batch: list[Call],
        first: int,
    ) -> None:
        values, error = result_of(report, state)
        if error is not None:
            values = results_before(report) if state == OutcomeState.FAILED else []
        elif self._how.adapts:
            values, took_s = values
            self._timed += len(values)
            self._took_s += took_s
            self._got_bytes += len(report or b"")
        with self._lock:
            self._flying -= 1
        rest: tuple[Future[Part], ...] = ()
        if error is None and len(values) < len(batch) and not future.done():
            # The batch was too large by far.
            self._batch = 1
            rest = self._send_again(batch[len(values) :], first + len(values))
        if self._how.ahead is None:
            # Formed before it is delivered: the caller always finds the next one in the queue.
            self._adapt()
            self._form()
        if not future.deliver(Part(values, error, rest), None):
            for piece in rest:
                piece.cancel()

    def _send_again(self, calls: list[Call], first: int) -> "tuple[Future[Part], ...]":
        """What is left of a batch, shared out."""
        size = -(-len(calls) // (AHEAD_PER_SLOT * self._slots))
        pieces: list[Future[Part]] = []
        for at in range(0, len(calls), size):
            pieces.append(self._make_future())
            self._launch(pieces[-1], calls[at : at + size], first + at)
        return tuple(pieces)

    def _adapt(self) -> None:
        # What they take there, not how fast they come back: where each journey takes longer than
        # BATCH_S, one call per journey would look like slow calls, and stay so for ever.
        if not self._timed:
            return
        each_s = self._took_s / self._timed
        each_bytes = max(self._got_bytes / self._timed, self._sent_bytes / self._sent)
        wanted = int(min(BATCH_S / max(each_s, 1e-7), BATCH_BYTES / each_bytes))
        self._batch = max(1, min(2 * self._batch, wanted, BATCH_MAX))


def _abandon(future: "Future[Part]") -> None:
    """Nobody will ask for it, nor for what is left of it."""
    if not future.cancel() and future.exception() is None:
        for rest in future.result().rest:
            _abandon(rest)
