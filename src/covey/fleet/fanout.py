"""The same work on many machines at once: one result for each, as they come, never all or nothing.

sshd refuses at random when many connections are not logged in yet (MaxStartups, 10 by default), and
one jump host may stand before all machines. So few begin at first and more with each success; a
connection that was closed in the greeting is tried again later. Who is slow, dead or hung holds up
nobody: after a moment it does not count any more.
"""

import heapq
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from covey.errors import ConnectFailed, MachineError

T = TypeVar("T")
R = TypeVar("R")

#: Machines that are worked on at once in the beginning: below sshd's MaxStartups of 10.
AT_ONCE_MIN = 8
#: And at most, once that went well: each is an ssh process of ours.
AT_ONCE_MAX = 64
#: At once at one address (host and port): all of them are in one sshd's greeting.
PER_ADDRESS_MAX = 8
#: Who takes longer does not count against the numbers above any more: it is no greeting.
SLOW_AFTER_S = 1.5
#: Threads there are at most, the slow ones counted in.
THREADS_MAX = 256
#: A connection closed in the greeting is tried again so often.
RETRIES_MAX = 4
#: Pause before the first such try; doubled each time, with as much jitter again.
RETRY_AFTER_S = 0.3


def fan_out(
    items: Sequence[T],
    work: Callable[[T], R],
    *,
    address_of: Callable[[T], Hashable],
    on_result: Callable[[T, R | MachineError], None] | None = None,
) -> list[R | MachineError]:
    """Do `work` for each item in threads; results in the order of items, `on_result` as they come.

    A MachineError of `work` is the result for that machine; anything else it raises is raised here.
    `on_result` is called in the calling thread. On Ctrl-C nothing more is begun; what is under way
    is left to its own limits.
    """
    return _FanOut(items, work, address_of, on_result).run()


@dataclass(slots=True)
class _FanOut(Generic[T, R]):
    items: Sequence[T]
    work: Callable[[T], R]
    address_of: Callable[[T], Hashable]
    on_result: Callable[[T, R | MachineError], None] | None
    #: Indices of `items`.
    waiting: deque[int] = field(default_factory=deque[int])
    #: (when, index): closed in the greeting.
    again: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    tries: Counter[int] = field(default_factory=Counter[int])
    began: dict[int, float] = field(default_factory=dict[int, float])
    window: float = AT_ONCE_MIN
    came: SimpleQueue[tuple[int, R | BaseException]] = field(default_factory=SimpleQueue)

    def run(self) -> list[R | MachineError]:
        self.waiting.extend(range(len(self.items)))
        results: dict[int, R | MachineError] = {}
        while len(results) < len(self.items):
            self._begin()
            try:
                index, result = self.came.get(timeout=self._pause_s())
            except Empty:
                continue
            del self.began[index]
            if isinstance(result, MachineError) and self._is_for_later(index, result):
                continue
            if isinstance(result, BaseException) and not isinstance(result, MachineError):
                raise result
            self.window = min(AT_ONCE_MAX, self.window + 1)
            results[index] = result
            if self.on_result is not None:
                self.on_result(self.items[index], result)
        return [results[index] for index in range(len(self.items))]

    def _begin(self) -> None:
        now = time.monotonic()
        while self.again and self.again[0][0] <= now:
            self.waiting.appendleft(heapq.heappop(self.again)[1])
        fresh = [index for index, at in self.began.items() if now < at + SLOW_AFTER_S]
        room = min(int(self.window) - len(fresh), THREADS_MAX - len(self.began))
        busy = Counter(self.address_of(self.items[index]) for index in fresh)
        held: list[int] = []
        while room > 0 and self.waiting:
            index = self.waiting.popleft()
            address = self.address_of(self.items[index])
            if busy[address] >= PER_ADDRESS_MAX:
                held.append(index)
                continue
            busy[address] += 1
            room -= 1
            self.began[index] = now
            threading.Thread(target=self._do, args=(index,), daemon=True).start()
        self.waiting.extendleft(reversed(held))

    def _do(self, index: int) -> None:
        try:
            self.came.put((index, self.work(self.items[index])))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that called
            self.came.put((index, error))

    def _pause_s(self) -> float | None:
        """Until something can begin that cannot begin now; None: only a result changes that."""
        now = time.monotonic()
        times = [at for at, _ in self.again[:1]]
        if self.waiting:
            times += [at + SLOW_AFTER_S for at in self.began.values() if at + SLOW_AFTER_S > now]
        return max(0.0, min(times) - now) if times else None

    def _is_for_later(self, index: int, error: MachineError) -> bool:
        """Whether sshd had too many greetings: then fewer at once, and this one again."""
        if not isinstance(error, ConnectFailed) or error.data.get("kind") != "closed":
            return False
        self.tries[index] += 1
        if self.tries[index] > RETRIES_MAX:
            return False
        self.window = max(1.0, self.window / 2)
        pause_s = RETRY_AFTER_S * 2 ** (self.tries[index] - 1) * random.uniform(1, 2)
        heapq.heappush(self.again, (time.monotonic() + pause_s, index))
        return True
