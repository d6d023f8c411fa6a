"""Job and task selectors: the words that name jobs on the command line. Pure.

    SELECTOR = "last" | "all" | PART ["," PART]…
    PART     = N | FIRST "-" LAST [":" STEP]
    TARGET   = SELECTOR ["." SELECTOR]        a job, or tasks of it

Numbers count from 1 and may hold underscores (`1_000`). HyperQueue's users know these words.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from covey.errors import JobNotFound, UsageError

_PART = re.compile(r"(?P<first>\d[\d_]*)(?:-(?P<last>\d[\d_]*)(?::(?P<step>\d[\d_]*))?)?\Z", re.A)
#: A number of more digits than this is no job of anybody's; it would only slow the ranges down.
_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Selector:
    """What was typed: a keyword (`last`, `all`), or ranges of numbers."""

    text: str
    keyword: str = ""
    ranges: tuple[range, ...] = ()

    @property
    def single(self) -> int | None:
        """The number, when exactly one was typed."""
        if len(self.ranges) == 1 and len(self.ranges[0]) == 1:
            return self.ranges[0][0]
        return None

    def __contains__(self, number: int) -> bool:
        return self.keyword == "all" or any(number in numbers for numbers in self.ranges)


def parse_selector(text: str) -> Selector:
    """The selector that `text` spells.

    Raises:
        UsageError: it spells none.
    """
    if text in ("last", "all"):
        return Selector(text, keyword=text)
    return Selector(text, ranges=tuple(_range(part, text) for part in text.split(",")))


def _range(part: str, whole: str) -> range:
    found = _PART.match(part.strip())
    if found is None:
        raise UsageError(
            f"{whole!r} names no job — use a number, a range (1-10, 1-10:2), a list (3,5-8),"
            " last or all"
        )
    if any(len(digits) > _DIGITS_MAX for digits in found.groups() if digits):
        raise UsageError(f"{whole!r} holds a number with more than {_DIGITS_MAX} digits")
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else first
    step = int(found["step"]) if found["step"] else 1
    if first < 1:
        raise UsageError(f"{whole!r}: jobs and tasks count from 1")
    if last < first:
        raise UsageError(f"{whole!r}: the range ends before it begins")
    if step < 1:
        raise UsageError(f"{whole!r}: a range needs a step of at least 1")
    return range(first, last + 1, step)


def parse_target(text: str) -> tuple[Selector, Selector | None]:
    """`JOB` or `JOB.TASK` as two selectors.

    Raises:
        UsageError: it is neither.
    """
    job, dot, task = text.partition(".")
    return parse_selector(job), parse_selector(task) if dot else None


def pick(selector: Selector, known: Sequence[int]) -> list[int]:
    """The numbers of `known` (ascending) that the selector names, ascending.

    A single number, and each one of a list, must exist; of a range those are taken that do.

    Raises:
        JobNotFound: it names none (`all` of none is none and no error).
    """
    if selector.keyword == "all":
        return list(known)
    if selector.keyword == "last":
        if not known:
            raise JobNotFound("there are no jobs yet — begin one with: covey map", job=0)
        return [known[-1]]
    have = set(known)
    for numbers in selector.ranges:
        if len(numbers) == 1 and numbers[0] not in have:
            raise JobNotFound(
                f"there is no job {numbers[0]} — list them with: covey jobs", job=numbers[0]
            )
    chosen = [number for number in known if number in selector]
    if not chosen:
        raise JobNotFound(f"there is no job in {selector.text} — list them with: covey jobs", job=0)
    return chosen


def matching(pattern: str, names: Iterable[tuple[int, str]]) -> list[int]:
    """The numbers whose name fits the shell pattern `pattern` (`--name GLOB`)."""
    return [number for number, name in names if fnmatch.fnmatchcase(name, pattern)]
