"""Many deadlines, one `wake_at`.

A deadline is kept under a key and means "look at this no later than then": whoever is woken looks
at the state again and sets the next one. So moving a deadline further away costs nothing.
"""

import heapq

#: What is to be looked at: a kind, and a name or number ("" or 0 where there is one only).
Key = tuple[str, str | int]


class Timers:
    """Deadlines by key; all times are monotonic seconds."""

    def __init__(self) -> None:
        self._at: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._at

    @property
    def wake_at(self) -> float | None:
        """The earliest deadline; None = none."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def wake_by(self, key: Key, at: float | None) -> None:
        """Look at `key` no later than `at` (None = no wish). An earlier deadline stands."""
        if at is None:
            return
        held = self._at.get(key)
        if held is None or at < held:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))

    def drop(self, key: Key) -> None:
        """Nothing is to be looked at under `key`."""
        self._at.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """The keys whose time has come, earliest first; each is forgotten."""
        keys: list[Key] = []
        while (at := self.wake_at) is not None and at <= now:
            key = heapq.heappop(self._heap)[1]
            del self._at[key]
            keys.append(key)
        return keys
