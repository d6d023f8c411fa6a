"""A `concurrent.futures.Future` that costs little until somebody waits for it.

A Future of the standard library makes a Condition at birth (1.6 kB, most of its cost); hundreds
of thousands of them are too much. This one makes it when a thread first waits. Everything else is
the documented behaviour, and `wait`, `as_completed`, `asyncio.wrap_future` see a true Future.
"""

import os
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import _base
from typing import Any, TypeVar, cast

T = TypeVar("T")

#: Guards the change from "nobody waits" to "somebody waits", for all futures: held for nanoseconds.
#: Reentrant: a signal handler or a finalizer may come to a future while its thread holds it.
_lock = threading.RLock()
_PENDING = "PENDING"
_RUNNING = "RUNNING"
_CANCELLED = "CANCELLED_AND_NOTIFIED"
_FINISHED = "FINISHED"


class Future(futures.Future[T]):
    """The outcome of a task to come. Made by `covey.Executor`, never by hand."""

    # Kept by the class until they differ: an instance carries what happened to it, no more.
    _state: str = _PENDING
    _result: T | None = None
    _exception: BaseException | None = None
    _lazy_condition: threading.Condition | None = None
    _lazy_waiters: list[Any] | None = None
    _lazy_callbacks: list[Callable[[Any], object]] | None = None
    #: (job, task) once it has been scheduled.
    task: tuple[int, int] | None = None

    def __init__(self, owner: "Owner | None" = None) -> None:  # pyright: ignore[reportMissingSuperCall] that is the point
        self._owner = owner

    @property
    def _condition(self) -> threading.Condition:  # pyright: ignore
        """What the standard library's functions wait with; made on first use."""
        condition = self._lazy_condition
        if condition is None:
            with _lock:
                condition = self._lazy_condition
                if condition is None:
                    condition = self._lazy_condition = threading.Condition()
        return condition

    @property
    def _waiters(self) -> list[Any]:  # pyright: ignore
        """Used by the standard library's functions, with the condition held."""
        waiters = self._lazy_waiters
        if waiters is None:
            waiters = self._lazy_waiters = []
        return waiters

    def cancel(self) -> bool:
        """Cancel the task, also while it runs: the process tree that runs it is stopped.

        Final for the caller at once. False if it has already ended.
        """
        owner = self._owner
        if not self._end(_CANCELLED, None, None):
            return self._state == _CANCELLED
        if owner is not None:
            owner.cancelled(self)
        return True

    def running(self) -> bool:
        """Whether the task has been handed to a machine and has not ended."""
        owner = self._owner
        if self._state != _PENDING or owner is None:
            return self._state == _RUNNING
        return owner.is_running(self)

    def done(self) -> bool:
        """Whether it has a result, an exception, or was cancelled."""
        return self._state in (_FINISHED, _CANCELLED)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state == _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """The result; waits for it.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
            CancelledError: it was cancelled.
            BaseException: what the task raised.
        """
        if self._state == _FINISHED and self._exception is None:
            return cast(T, self._result)
        return super().result(timeout)

    def add_done_callback(self, fn: Callable[[futures.Future[T]], object]) -> None:
        """Call `fn(future)` when it has ended; at once if it has."""
        with _lock:
            if not self.done():
                if self._lazy_callbacks is None:
                    self._lazy_callbacks = []
                self._lazy_callbacks.append(fn)
                return
        self._call(fn)

    def set_result(self, result: T) -> None:
        """For the executor.

        Raises:
            InvalidStateError: it has ended already.
        """
        if not self._end(_FINISHED, result, None):
            raise futures.InvalidStateError(f"{self._state}: {self!r}")

    def set_exception(self, exception: BaseException | None) -> None:
        """For the executor.

        Raises:
            InvalidStateError: it has ended already.
        """
        if not self._end(_FINISHED, None, exception):
            raise futures.InvalidStateError(f"{self._state}: {self!r}")

    def set_running_or_notify_cancel(self) -> bool:
        """For code that treats every executor alike; False if it was cancelled.

        Raises:
            RuntimeError: it runs or has ended already.
        """
        with _lock:
            if self._state == _CANCELLED:
                return False
            if self._state != _PENDING:
                raise RuntimeError("Future in unexpected state")
            self._state = _RUNNING
        return True

    def deliver(self, result: Any, exception: BaseException | None) -> bool:
        """End it unless it has ended; whether that was so."""
        return self._end(_FINISHED, result, exception)

    def _end(self, state: str, result: Any, exception: BaseException | None) -> bool:
        with _lock:
            condition = self._lazy_condition
            if condition is None:
                # Nobody waits, and nobody can begin to before the lock is free.
                if self._state in (_FINISHED, _CANCELLED):
                    return False
                self._settle(state, result, exception)
        if condition is not None:
            with condition:
                with _lock:
                    if self._state in (_FINISHED, _CANCELLED):
                        return False
                    self._settle(state, result, exception)
                self._tell_waiters(state, exception)
                condition.notify_all()
        if self._lazy_callbacks is not None:
            callbacks, self._lazy_callbacks = self._lazy_callbacks, None
            for callback in callbacks:
                self._call(callback)
        return True

    def _settle(self, state: str, result: Any, exception: BaseException | None) -> None:
        if exception is not None:
            self._exception = exception
        elif result is not None:
            self._result = result
        # The state comes last: `result` reads it without a lock.
        self._state = state
        # Whoever keeps a future does not keep its executor.
        self._owner = None

    def _tell_waiters(self, state: str, exception: BaseException | None) -> None:
        for waiter in self._lazy_waiters or ():
            if state == _CANCELLED:
                waiter.add_cancelled(self)
            elif exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)

    def _call(self, fn: Callable[[Any], object]) -> None:
        try:
            fn(self)
        except BaseException as error:
            # User code on a thread of ours: not even SystemExit may end that thread. The standard
            # library logs likewise.
            _base.LOGGER.exception("exception calling callback for %r", self)
            if not isinstance(error, Exception) and not is_ours():
                raise


def _renew_lock() -> None:
    # Another thread may have held it when this process was forked off.
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)

#: Marks threads of covey: callbacks on them must not end them.
_threads = threading.local()


def mark_as_ours() -> None:
    """Say that the calling thread belongs to covey."""
    _threads.is_ours = True


def is_ours() -> bool:
    """Whether the calling thread belongs to covey."""
    return getattr(_threads, "is_ours", False)


class Owner:
    """What a future asks of the executor that made it."""

    def cancelled(self, future: Future[Any]) -> None:
        """The caller cancelled it."""
        raise NotImplementedError

    def is_running(self, future: Future[Any]) -> bool:
        """Whether it was handed to a machine."""
        raise NotImplementedError
