"""Requests to a head or to a shared scheduler: each is repeated until its answer comes."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

from covey import errors
from covey.errors import CoveyError
from covey.wire.messages import Answer, ToHead

#: A request without an answer is sent again after this long.
REPEAT_AFTER_S = 0.5


class Asking:
    """The requests of one client that are under way. One event loop."""

    def __init__(self) -> None:
        # Nonces of one client never repeat, and two clients have different keys.
        self._nonces = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    def nonce(self) -> int:
        """The number of the next request."""
        return next(self._nonces)

    def answered(self, answer: Answer) -> bool:
        """An answer came; whether somebody waits for it."""
        waiting = self._waiting.get(answer.nonce)
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_result(answer)
        return True

    async def request(
        self,
        make: Callable[[int], ToHead],
        send: Callable[[ToHead], None],
        timeout_s: float,
        too_late: Callable[[str], CoveyError],
    ) -> dict[str, Any]:
        """`send` what `make` makes of a nonce until it is answered.

        Raises:
            CoveyError: what was answered, by its class; what `too_late(request)` is after
                `timeout_s`; what `send` raises.
        """
        nonce = self.nonce()
        message = make(nonce)
        loop = asyncio.get_running_loop()
        answer = self._waiting[nonce] = loop.create_future()
        until = loop.time() + timeout_s
        try:
            while not answer.done():
                if loop.time() >= until:
                    raise too_late(type(message).__name__)
                send(message)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(REPEAT_AFTER_S, until - loop.time())):
                        await asyncio.shield(answer)
        finally:
            del self._waiting[nonce]
        return _value(answer.result())


def error_of(answer: Answer) -> CoveyError | None:
    """The error that was answered."""
    if not answer.error:
        return None
    name, sentence = answer.error[0], answer.error[1]
    kind = getattr(errors, name, CoveyError)
    if not (isinstance(kind, type) and issubclass(kind, CoveyError)):
        kind = CoveyError
    return kind(sentence)


def _value(answer: Answer) -> dict[str, Any]:
    if error := error_of(answer):
        raise error
    return answer.value
