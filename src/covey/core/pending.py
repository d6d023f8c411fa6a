"""The tasks of one shape that wait to be granted: ranges of fresh ones, and single ones that came
back.

Memory is proportional to the number of ranges, not of tasks: a million fresh tasks are two numbers.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

#: Ranges used up at the front that are kept before the lists are cut.
USED_RANGES_MAX = 1024


class Pending:
    """A set of task ids that gives out the lowest of those that came back, then the lowest fresh
    one.
    """

    def __init__(self) -> None:
        self.count = 0
        self._firsts: list[int] = []
        self._stops: list[int] = []
        self._head = 0
        self._back: list[int] = []
        self._is_back: set[int] = set()

    def __contains__(self, task: int) -> bool:
        return task in self._is_back or self._range_of(task) >= 0

    def add(self, first: int, count: int) -> None:
        """Take in the fresh tasks first … first+count-1, none of which is in here."""
        if count <= 0:
            return
        self.count += count
        stops = self._stops
        if len(stops) > self._head and stops[-1] == first:
            stops[-1] = first + count
            return
        at = bisect_left(self._firsts, first, self._head)
        self._firsts.insert(at, first)
        stops.insert(at, first + count)

    def put_back(self, task: int) -> None:
        """Take in a task that was granted and is wanted again: it goes in front."""
        self._is_back.add(task)
        heapq.heappush(self._back, task)
        self.count += 1

    def take(self, count: int) -> list[int]:
        """Give out up to `count` tasks."""
        tasks: list[int] = []
        while self._is_back and len(tasks) < count:
            task = heapq.heappop(self._back)
            if task in self._is_back:
                self._is_back.remove(task)
                tasks.append(task)
        firsts, stops = self._firsts, self._stops
        while len(tasks) < count and self._head < len(firsts):
            first = firsts[self._head]
            stop = min(stops[self._head], first + count - len(tasks))
            tasks += range(first, stop)
            self._drop_front(stop)
        self.count -= len(tasks)
        return tasks

    def strike(self, task: int) -> bool:
        """Take out one task; False = it was not in here."""
        if task in self._is_back:
            self._is_back.remove(task)
        elif (at := self._range_of(task)) >= 0:
            self._split(at, task)
        else:
            return False
        self.count -= 1
        return True

    def move_to(self, other: "Pending") -> None:
        """Hand everything over to `other`; nothing stays here."""
        for first, stop in self.ranges():
            other.add(first, stop - first)
        for task in sorted(self._is_back):
            other.put_back(task)
        self.__init__()

    def ranges(self) -> Iterator[tuple[int, int]]:
        """The fresh tasks as (first, stop)."""
        return zip(self._firsts[self._head :], self._stops[self._head :], strict=True)

    def lowest(self) -> int:
        """The lowest number of a task in here, which is not empty."""
        return min([*self._firsts[self._head : self._head + 1], *self._is_back])

    def check(self) -> None:
        """Assert what must hold between the containers."""
        ranges = list(self.ranges())
        fresh = sum(stop - first for first, stop in ranges)
        assert fresh + len(self._is_back) == self.count, "count is the number of tasks"
        assert all(first < stop for first, stop in ranges), "no range is empty"
        assert all(a[1] <= b[0] for a, b in pairwise(ranges)), "ranges ascend"
        assert self._is_back <= set(self._back), "each returned task can be taken"
        assert all(self._range_of(task) < 0 for task in self._is_back), "no task is in here twice"

    def _range_of(self, task: int) -> int:
        at = bisect_right(self._firsts, task, self._head) - 1
        return at if at >= self._head and task < self._stops[at] else -1

    def _drop_front(self, stop: int) -> None:
        if stop < self._stops[self._head]:
            self._firsts[self._head] = stop
            return
        self._head += 1
        if self._head >= USED_RANGES_MAX or self._head == len(self._firsts):
            del self._firsts[: self._head]
            del self._stops[: self._head]
            self._head = 0

    def _split(self, at: int, task: int) -> None:
        first, stop = self._firsts[at], self._stops[at]
        if task + 1 == stop:
            self._stops[at] = task
        else:
            self._firsts[at] = task + 1
            if first < task:
                self._firsts.insert(at, first)
                self._stops.insert(at, task)
            return
        if first == task:
            del self._firsts[at]
            del self._stops[at]


def undone(done: bytearray, held: int) -> Iterator[tuple[int, int]]:
    """The tasks of 1 … `held` whose bit i in `done` is not set, as (first, count)."""
    start = 0
    task = 1
    while task <= held:
        byte = done[task >> 3] if task >> 3 < len(done) else 0
        step = 8 if task & 7 == 0 and task + 7 <= held else 1
        if step == 8 and byte in (0x00, 0xFF):
            is_done = byte == 0xFF
        else:
            step = 1
            is_done = bool(byte >> (task & 7) & 1)
        if is_done and start:
            yield start, task - start
            start = 0
        elif not is_done and not start:
            start = task
        task += step
    if start:
        yield start, held + 1 - start
