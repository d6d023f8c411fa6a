"""What an Executor runs on, seen from the threads of the program.

    submit ──► queue ──► dispatcher (an in-memory scheduler on a loop in a thread of its own)

`submit` appends to a deque and wakes the loop once (protocol.md rule 35). The thread imports what
the loop needs while the root process starts, so that neither waits for the other.
"""

# Imported before any fork and any exit: it registers what is to be done then, which must not
# happen in the midst of it, while our thread still imports.
import concurrent.futures.thread  # noqa: F401 # pyright: ignore[reportUnusedImport]
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

from covey.client.feed import Deliver, Feed, Large, Options, Place
from covey.client.future import Future, Owner, mark_as_ours
from covey.client.private import PrivateRoot
from covey.errors import CoveyError, StartFailed
from covey.settings import INLINE_MAX_BYTES, START_MAX_S

if TYPE_CHECKING:
    from covey.client.dispatcher import Dispatcher
    from covey.client.durable import DurableDispatcher
    from covey.client.shared import SharedDispatcher

    AnyDispatcher = Dispatcher | DurableDispatcher | SharedDispatcher


_AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"


class Engine(Feed, Owner):
    """Schedules calls, from any thread. Lives until it is closed, whoever holds it."""

    def __init__(self, place: Place) -> None:
        """Start the root process and the thread; returns without waiting for them.

        Raises:
            CoveyError: there is no nats-server, or no process can be started.
        """
        super().__init__(place)
        #: Only what runs already goes on; what else is submitted ends cancelled.
        self.is_cancelling = False
        self._dispatcher: AnyDispatcher | None = None
        #: Set when the thread imports nothing any more: before that, no fork is safe.
        self._is_loaded = threading.Event()
        self._has_ended = False
        self._ends_when_idle = False
        self._is_stopping = False
        #: Nobody waits for it: at exit its job is left to the head.
        self.is_left = False
        if place.is_private:
            self.root = PrivateRoot(place.settings, slots=place.slots, slots_from=place.slots_from)
            self.root.start()
        self._thread = threading.Thread(target=self._run, name="covey-executor", daemon=True)
        _engines.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            _engines.discard(self)
            if self.root is not None:
                self.root.close()
            raise StartFailed(f"no thread could be started: {error}", what="executor") from error

    def submit(
        self,
        future: "Future[Any]",
        options: Options,
        context: str,
        payload: bytes,
        deliver: Deliver | None = None,
    ) -> None:
        """Schedule a call. `deliver` (on the loop) gets the report instead of the future.

        Raises:
            CoveyError: the engine broke down.
            RuntimeError: it has ended, as at the end of the program.
        """
        if self.error is not None:
            raise self.error
        if self._has_ended:
            raise RuntimeError(_AFTER_SHUTDOWN)
        if self.is_cancelling:
            future.cancel()
            return
        sent = payload if len(payload) <= INLINE_MAX_BYTES else _large(payload)
        self.queue.append((future, options, context, sent, deliver))
        if not self.is_woken:
            self.is_woken = True
            self._tell("drain")
        if self._has_ended:
            # It ended between the first question and the queue: nobody else would look there.
            self._refuse()

    def job_number(self) -> int:
        """Of a durable engine: its job; waits until the head has given it one.

        Raises:
            CoveyError: the head cannot be reached.
        """
        self.wants_number = True
        self._tell("open")
        return self.number.result()

    def cancelled(self, future: "Future[Any]") -> None:
        """See `Owner`."""
        if self.pid == os.getpid():
            self._tell("cancel", future)

    def is_running(self, future: "Future[Any]") -> bool:
        """See `Owner`."""
        dispatcher = self._dispatcher
        return dispatcher is not None and dispatcher.is_running(future)

    def cancel_pending(self) -> None:
        """Cancel what has no slot yet; what runs goes on."""
        self.is_cancelling = True
        self._tell("cancel_pending")

    def stop(self) -> None:
        """Cancel everything (a durable job: leave it to the head), and end at once."""
        self._is_stopping = True
        self.is_cancelling = self.is_cancelling or not self.place.is_durable
        self._tell("stop")

    def end(self) -> None:
        """End as soon as all tasks have; returns at once."""
        self._ends_when_idle = True
        self._tell("end_when_idle")

    def join(self) -> None:
        """Wait for the end; returns at once on the engine's own thread, where callbacks run."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def wait_loaded(self) -> None:
        """Wait until a fork is safe."""
        if threading.current_thread() is not self._thread:
            self._is_loaded.wait(START_MAX_S)

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent without a word."""
        if self.root is not None:
            self.root.abandon()

    def _tell(self, what: str, *args: Any) -> None:
        """Have a method of the dispatcher called on its loop. Before it is up, `_up` makes up."""
        dispatcher = self._dispatcher
        if dispatcher is not None:
            dispatcher.call_soon(getattr(dispatcher, what), *args)

    def _run(self) -> None:
        mark_as_ours()
        try:
            from covey.client import dispatcher

            if self.place.is_durable:
                from covey.client import durable

                lasting = durable.DurableDispatcher(self)
                dispatcher.run(lambda: lasting.live(self._up), self._is_loaded.set)
            elif self.place.schedulers:
                from covey.client import shared

                with_others = shared.SharedDispatcher(self)
                dispatcher.run(lambda: with_others.live(self._up), self._is_loaded.set)
            else:
                ours = dispatcher.Dispatcher(self)
                dispatcher.run(lambda: ours.live(self._up), self._is_loaded.set)
        except CoveyError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - the top of a thread: all futures must hear of it
            self.error = CoveyError(f"a bug in covey's executor: {error!r}")
        finally:
            self._is_loaded.set()
            self._has_ended = True
            self.number.deliver(None, self.error or RuntimeError(_AFTER_SHUTDOWN))
            self._refuse()
            if self._dispatcher is not None:
                self._dispatcher.leave(self.error)
            self._dispatcher = None
            if self.root is not None:
                self.root.close()
            _engines.discard(self)

    def _up(self, dispatcher: "AnyDispatcher") -> None:
        """The dispatcher is ready; on its loop."""
        self._dispatcher = dispatcher
        dispatcher.drain()
        if self.is_cancelling:
            dispatcher.cancel_pending()
        if self._ends_when_idle:
            dispatcher.end_when_idle()
        if self._is_stopping:
            dispatcher.stop()

    def _refuse(self) -> None:
        while True:
            try:
                future = self.queue.popleft()[0]
            except IndexError:
                return
            future.deliver(None, self.error or RuntimeError(_AFTER_SHUTDOWN))


def _large(payload: bytes) -> Large:
    return Large(payload, hashlib.sha256(payload).hexdigest())


class Shared:
    """The engine of an executor and of those derived from it; a new one in a forked child."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._is_shut = False
        self._engine: Engine | None = Engine(place)

    def engine(self) -> Engine:
        """The engine of this process.

        Raises:
            RuntimeError: after `shut`.
            CoveyError: it cannot be started, or broke down.
        """
        if self._is_shut:
            raise RuntimeError(_AFTER_SHUTDOWN)
        engine = self._engine
        if engine is None or engine.pid != os.getpid():
            with _starting:
                engine = self._engine
                if engine is None or engine.pid != os.getpid():
                    engine = self._engine = Engine(self.place)
        return engine

    def job_number(self) -> int:
        """See `Engine.job_number`; known for ever, once there was a call.

        Raises:
            RuntimeError: after `shut`, and nothing was ever submitted.
            CoveyError: the head cannot be reached.
        """
        engine = self._engine
        if engine is None or not engine.number.done():
            engine = self.engine()
        return engine.job_number()

    def shut(self) -> Engine | None:
        """Take nothing more. The engine, if it is ours to end."""
        self._is_shut = True
        engine = self._engine
        return engine if engine is not None and engine.pid == os.getpid() else None

    def let_go(self) -> None:
        """The last executor is gone: end when what was submitted has."""
        engine = self.shut()
        if engine is not None:
            engine.end()


#: All engines of this process that have not ended.
_engines: set[Engine] = set()
#: Those of the process that we were forked off. Kept for ever: to take them apart would reach into
#: sockets and pollers that are still the parent's.
_abandoned: list[Engine] = []
_starting = threading.RLock()


def end_all(*, cancel: bool) -> None:
    """End every engine of this process and wait for it.

    cancel: without waiting for what runs.
    """
    engines = list(_engines)
    for engine in engines:
        if cancel or engine.is_left:
            engine.stop()
        engine.end()
    for engine in engines:
        engine.join()


def _before_fork() -> None:
    # The child would wait for ever for the import lock of a thread that it does not have.
    for engine in list(_engines):
        engine.wait_loaded()


def _after_fork() -> None:
    global _starting
    _starting = threading.RLock()
    _abandoned.extend(_engines)
    _engines.clear()
    for engine in _abandoned:
        engine.abandon()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
