"""Virtual time: a heap of what happens when, and a lane for what happens after a fixed delay.

Events of one time happen in the order in which they were set, so a run is the same wherever it
runs.
"""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

#: When, in which order among equals, what, with what.
Entry = tuple[float, int, Callable[[Any], None], Any]


class Kernel:
    """The clock of a simulation, its events, and its one source of chance.

    Args:
        seed: names the run: a text, so that seeds of parts can be told apart.
        hop_s: seconds of `soon`, the delay that most events have: they need no heap.
    """

    def __init__(self, seed: str, hop_s: float = 0.0) -> None:
        self.now = 0.0
        self.hop_s = hop_s
        self.rng = Random(seed)
        #: How many events happened.
        self.events = 0
        self._set = 0
        self._heap: list[Entry] = []
        self._lane: deque[Entry] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going to happen."""
        return not self._heap and not self._lane

    def at(self, time: float, what: Callable[[Any], None], argument: Any) -> None:
        """Let something happen at a time (never before now)."""
        self._set += 1
        heapq.heappush(self._heap, (time, self._set, what, argument))

    def after(self, delay_s: float, what: Callable[[Any], None], argument: Any) -> None:
        """Let something happen in so many seconds."""
        self._set += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._set, what, argument))

    def soon(self, what: Callable[[Any], None], argument: Any) -> None:
        """Let something happen in `hop_s` seconds."""
        self._set += 1
        self._lane.append((self.now + self.hop_s, self._set, what, argument))

    def run(self, until: float = float("inf")) -> None:
        """Let everything happen, in order, up to and including a time."""
        heap, lane = self._heap, self._lane
        pop, events = heapq.heappop, 0
        while heap or lane:
            from_lane = lane and (not heap or lane[0] < heap[0])
            if (lane[0] if from_lane else heap[0])[0] > until:
                break
            self.now, _, what, argument = lane.popleft() if from_lane else pop(heap)
            events += 1
            what(argument)
        self.events += events
        if until < float("inf"):
            self.now = max(self.now, until)
