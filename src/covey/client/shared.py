"""The loop of an Executor whose calls go to shared schedulers, and to the next one when one dies.

The same face towards the engine as `client.dispatcher`. Who runs the calls, and what becomes of
them when that one dies, is with `client.failover`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from covey.client.failover import Failover
from covey.client.feed import Feed
from covey.client.future import Future
from covey.errors import CoveyError


class SharedDispatcher:
    """Lives on its loop; the engine speaks to it with `call_soon`."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._queue = feed.queue
        self._ends_when_idle = False

    async def live(self, up: Callable[["SharedDispatcher"], None]) -> None:
        """Hand calls over and results back until the end.

        Raises:
            CoveyError: the cluster cannot be reached.
        """
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._failover = Failover(self._feed, self._look_whether_idle, self._stranded)
        await self._failover.start()
        up(self)
        try:
            await self._end.wait()
        finally:
            await self._failover.close()

    def call_soon(self, what: Callable[..., None], *args: Any) -> None:
        """Have a method called on the loop. From any thread; nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *args)

    def open(self) -> None:
        """Such an executor has no job number."""

    def is_running(self, future: "Future[Any]") -> bool:
        """Whether it has been granted: tasks are, in their order, as far as nothing failed."""
        return self._failover.is_running(future)

    def drain(self) -> None:
        """Take what was submitted."""
        self._failover.submit(self._feed.take(lambda: self.call_soon(self.drain)))
        self._look_whether_idle()

    def cancel(self, future: "Future[Any]") -> None:
        """Its caller does not want it any more."""
        self._failover.drop(future)

    def cancel_pending(self) -> None:
        """Cancel what does not run."""
        for future in [*self._failover.futures(), *(entry[0] for entry in self._queue)]:
            if not self.is_running(future):
                future.cancel()

    def end_when_idle(self) -> None:
        """End as soon as all tasks have."""
        self._ends_when_idle = True
        self._look_whether_idle()

    def stop(self) -> None:
        """End now; the scheduler stops what still runs."""
        self._end.set()

    def leave(self, error: CoveyError | None) -> None:
        """The loop has ended: nobody else will end what is still open."""
        for future in self._failover.futures():
            if error is None:
                future.cancel()
            else:
                future.deliver(None, error)

    def _look_whether_idle(self) -> None:
        if self._ends_when_idle and not self._queue and self._failover.is_idle:
            self._end.set()

    def _stranded(self, error: CoveyError) -> None:
        """No scheduler is left: no more can be taken."""
        self._feed.error = error
        self._end.set()
