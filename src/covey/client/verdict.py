"""What becomes of calls in flight when their scheduler is lost: the user's word (`on_failover`)."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from covey.client.feed import OnFailover
from covey.client.future import Future
from covey.errors import SchedulerLost, UsageError

RELAUNCH, PARTIAL = "relaunch", "partial"


class Verdict:
    """Asks the user, and knows why calls fail that are not run again. Lives on the loop."""

    def __init__(self, ask: OnFailover | None) -> None:
        """ask: says "relaunch" or "partial"; None = relaunch."""
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        #: Which scheduler was lost last, and how.
        self.lost_why = ""
        self._error: BaseException | None = None

    def ask(self, futures: list[Future[Any]], told: Callable[[bool], None]) -> None:
        """Have the user decide; `told`, on the loop, whether to run these calls again."""
        ask = self._ask
        if ask is None:
            told(True)
            return

        def decide() -> None:
            error: BaseException | None = None
            answer: object = None
            try:
                answer = ask(futures)
            except BaseException as raised:  # noqa: BLE001 - user code: whoever waits is told
                error = raised
            # Unless the loop has ended.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._decided, answer, error, told)

        try:
            # Not on the loop: it may take long, and submit calls.
            threading.Thread(target=decide, name="covey-failover", daemon=True).start()
        except RuntimeError:
            # The interpreter is ending.
            told(True)

    def error(self) -> BaseException:
        """Why calls fail that are not run again; said once of each time that the user decided."""
        error, self._error = self._error, None
        return error or self._lost()

    def _decided(
        self, answer: object, error: BaseException | None, told: Callable[[bool], None]
    ) -> None:
        if error is not None:
            self._error = self._lost()
            self._error.__cause__ = error
        elif answer not in (RELAUNCH, PARTIAL):
            self._error = UsageError(
                f"on_failover returned {answer!r}: it must return {RELAUNCH!r} (run these tasks"
                f" again) or {PARTIAL!r} (they fail, what is finished stands)"
            )
        told(answer == RELAUNCH and error is None)

    def _lost(self) -> SchedulerLost:
        return SchedulerLost(
            f"{self.lost_why}, and this task was in flight there: on_failover said not to run it"
            " again"
        )
