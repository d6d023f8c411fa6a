"""Asks the head how machines are, for many threads at once, and waits until they are ready."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from covey.client.client import HeadLink
from covey.errors import BootstrapFailed
from covey.model.agent_state import AgentState
from covey.settings import Settings

T = TypeVar("T")

#: Pause between two looks, by however many threads.
LOOK_EVERY_S = 0.03
#: An agent that was started and is not heard of by then is told as a failure.
READY_MAX_S = 30.0
#: An agent that is not heard of so soon after its start may have ended: it is looked at,
#: first after this and then with doubling pauses.
CHECK_AFTER_S = 1.0
#: A machine that fell silent may still run what it has, and is waited for as long as this.
SILENT_MAX_S = 30.0


class HeadWatch:
    """One connection to the head, on a loop in a thread of its own. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Raises:
            NotUp, BusUnavailable: there is no head, or its bus does not answer.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._lock = threading.Lock()
        #: Held while work is given to the loop: what is given later than its end is refused.
        self._gate = threading.Lock()
        self._is_over = False
        self._states: dict[str, dict[str, Any]] = {}
        self._looked_at = -math.inf
        self._waiting: set[str] = set()
        try:
            self._link = self._run(HeadLink.connect(settings))
        except BaseException:
            self._end()
            raise

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._gate:
            if self._is_over:
                work.close()
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()

    def _end(self) -> None:
        with self._gate:
            self._is_over = True
        # Whoever still asks hears of it, and nothing is left for Python to complain of.
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close(self) -> None:
        """Disconnect; whoever asks in another thread gets a CancelledError. Twice does nothing."""
        if self._is_over:
            return
        try:
            self._run(self._link.close())
        finally:
            self._end()

    def ask(self, what: str, **args: Any) -> dict[str, Any]:
        """See `HeadLink.ask`."""
        return self._run(self._link.ask(what, **args))

    def state(self, name: str, *, hello: bool = False) -> dict[str, Any]:
        """How the head sees a machine now: state, why, incarnation, busy, tunnel.

        hello: have it ask the agent for a session at once.
        """
        with self._lock:
            if hello:
                self._waiting.add(name)
            now = time.monotonic()
            if now >= self._looked_at + LOOK_EVERY_S:
                # The head says hello at once to those that are waited for.
                answer = self.ask("states", hello=sorted(self._waiting))
                self._states, self._looked_at = answer["machines"], time.monotonic()
            return self._states.get(name, {})

    def _look_anew(self) -> None:
        with self._lock:
            self._looked_at = -math.inf

    def await_ready(
        self, name: str, incarnation: str, check: Callable[[], None], timeout_s: float = READY_MAX_S
    ) -> None:
        """Return when this very agent is in session.

        check: raises where it is known that it never will be.

        Raises:
            BootstrapFailed: it is not, within the time, or cannot be; why, as far as the head
                knows.
        """
        began = time.monotonic()
        until, pause_s = began + timeout_s, CHECK_AFTER_S
        check_at = began + pause_s
        # What was looked up before its tunnel was asked for counts no longer.
        self._look_anew()
        self._waiting.add(name)
        try:
            while not is_ready(known := self.state(name), incarnation):
                if known.get("is_refused"):
                    raise BootstrapFailed(
                        str(known["why"]),
                        machine=name,
                        step="ready",
                        remedy=f"covey doctor {name}",
                    )
                if time.monotonic() > check_at:
                    check()
                    pause_s *= 2
                    check_at = time.monotonic() + pause_s
                if time.monotonic() > until:
                    why = known.get("why") or "the agent runs there, and is not heard of here"
                    raise BootstrapFailed(
                        f"not ready within {timeout_s:.0f} s: {why}",
                        machine=name,
                        step="ready",
                        remedy=f"covey doctor {name}",
                    )
                time.sleep(LOOK_EVERY_S)
        finally:
            self._waiting.discard(name)

    def await_idle(self, name: str) -> None:
        """Return when nothing runs there any more, or it is gone: a silent one may come back."""
        # What was looked up before the machine was drained counts no longer.
        self._look_anew()
        silent_since: float | None = None
        while True:
            known, now = self.state(name), time.monotonic()
            if known.get("state") == AgentState.UNREACHABLE:
                silent_since = now if silent_since is None else silent_since
                if now > silent_since + SILENT_MAX_S:
                    return
            elif not is_ready(known, "") or not known.get("busy"):
                return
            else:
                silent_since = None
            time.sleep(LOOK_EVERY_S)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def is_ready(known: dict[str, Any], incarnation: str) -> bool:
    """Whether the row is of an agent in session ("" = whichever)."""
    if known.get("state") != AgentState.READY:
        return False
    return not incarnation or known.get("incarnation") == incarnation
