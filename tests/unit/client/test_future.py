"""covey's Future behaves as the documented one, whoever ends it and whenever."""

import logging
import threading
from concurrent import futures
from typing import Any

import pytest

from covey.client.future import Future, Owner


class Witness(Owner):
    """An owner that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Future[Any]] = []

    def cancelled(self, future: Future[Any]) -> None:
        self.told.append(future)

    def is_running(self, future: Future[Any]) -> bool:
        return True


def test_a_new_future_waits_and_makes_no_lock() -> None:
    future: Future[int] = Future()
    assert (future.done(), future.cancelled(), future.running()) == (False,) * 3
    assert future._lazy_condition is None  # pyright: ignore[reportPrivateUsage]


def test_a_value_of_none_is_a_value() -> None:
    future: Future[None] = Future()
    future.set_result(None)
    assert future.done()
    assert future.result() is None
    assert future.exception() is None


def test_an_exception_is_raised_and_told() -> None:
    future: Future[int] = Future()
    error = ValueError("x")
    future.set_exception(error)
    assert future.exception() is error
    with pytest.raises(ValueError, match="x"):
        future.result()


def test_the_first_end_counts() -> None:
    future: Future[int] = Future()
    assert future.deliver(1, None)
    assert not future.deliver(2, None)
    assert not future.cancel()
    assert future.result() == 1
    with pytest.raises(futures.InvalidStateError):
        future.set_result(2)
    with pytest.raises(futures.InvalidStateError):
        future.set_exception(ValueError())


def test_cancel_is_final_at_once_and_told_to_the_owner_once() -> None:
    owner = Witness()
    future: Future[int] = Future(owner)
    assert future.running()
    assert future.cancel()
    assert future.cancel()
    assert owner.told == [future]
    assert not future.running()
    assert not future.deliver(1, None)
    with pytest.raises(futures.CancelledError):
        future.result(0)


def test_it_can_be_run_like_any_other() -> None:
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()
    assert future.running()
    with pytest.raises(RuntimeError):
        future.set_running_or_notify_cancel()
    cancelled: Future[int] = Future()
    cancelled.cancel()
    assert not cancelled.set_running_or_notify_cancel()


def test_whoever_waits_is_woken_by_each_kind_of_end() -> None:
    for name, args in (("set_result", [1]), ("set_exception", [ValueError()]), ("cancel", [])):
        future: Future[int] = Future()
        threading.Timer(0.01, getattr(future, name), args).start()
        assert futures.wait([future], timeout=10).done == {future}


def test_many_waiters_and_enders_at_once_lose_nobody() -> None:
    for _ in range(100):
        future: Future[int] = Future()
        got: list[int] = []
        threads = [threading.Thread(target=_note, args=(future, got)) for _ in range(3)]
        threads.append(threading.Thread(target=future.deliver, args=(5, None)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [5, 5, 5]


def _note(future: Future[int], got: list[int]) -> None:
    got.append(future.result(10))


def test_callbacks_of_a_canceller_are_called_in_its_thread() -> None:
    future: Future[int] = Future()
    seen: list[threading.Thread] = []
    future.add_done_callback(lambda _: seen.append(threading.current_thread()))
    future.cancel()
    assert seen == [threading.current_thread()]


def test_a_broken_callback_is_logged_and_the_next_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    future: Future[int] = Future()
    seen: list[object] = []

    def broken(_: object) -> None:
        raise ValueError("callback")

    future.add_done_callback(broken)
    future.add_done_callback(seen.append)
    with caplog.at_level(logging.ERROR):
        future.set_result(1)
    assert seen == [future]
    assert "callback" in caplog.text


def test_a_callback_may_use_the_future() -> None:
    future: Future[int] = Future()
    got: list[int] = []
    future.add_done_callback(lambda f: got.append(f.result()))
    future.add_done_callback(lambda f: f.add_done_callback(lambda g: got.append(-g.result())))
    future.set_result(3)
    assert got == [3, -3]


def test_its_text_tells_its_state() -> None:
    future: Future[int] = Future()
    assert "state=pending" in repr(future)
    future.set_result(1)
    assert "state=finished returned int" in repr(future)
