"""Values of the options of `covey map`: numbers, sizes, times, conditions, spelled as for GNU
parallel.

Pure. Every error names the option and shows a right value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from covey.errors import UsageError
from covey.model.job import HaltPolicy
from covey.model.users import PRIORITY_MAX, PRIORITY_MIN

#: `-j 0` (as many as possible) and every other -j are capped to this many slots on a machine: each
#: slot is a process of its own.
SLOTS_MAX = 256
#: GNU parallel reads `--load 0` as this.
LOAD_LEAST = 0.01
_UNITS = {
    **{letter: 1024**power for power, letter in enumerate("KMGTP", 1)},
    **{letter: 1000**power for power, letter in enumerate("kmgtp", 1)},
}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: A user, a label, a machine.
_NAME = re.compile(r"\w[\w.@+-]{0,63}\Z")
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_HALT_WORDS = {
    "never": "never",
    "0": "never",
    "1": "soon,fail=1",
    "2": "now,fail=1",
    "-1": "soon,success=1",
    "-2": "now,success=1",
}


@dataclass(frozen=True, slots=True)
class Relative:
    """A count that may depend on the CPUs of a machine: `8`, `+2`, `-1`, `150%`."""

    kind: Literal["count", "added", "percent"]
    number: float

    def of(self, cpus: int) -> float:
        """The count on a machine with this many CPUs."""
        if self.kind == "count":
            return self.number
        if self.kind == "added":
            return cpus + self.number
        return cpus * self.number / 100


def read_relative(option: str, text: str) -> Relative:
    """`8`, `+2`, `-1` or `150%`."""
    if re.fullmatch(_NUMBER + "%", text):
        return Relative("percent", float(text[:-1]))
    if re.fullmatch(r"[+-]\d+", text):
        return Relative("added", float(text))
    if re.fullmatch(_NUMBER, text):
        return Relative("count", float(text))
    raise UsageError(f"{option} {text}: not a number of jobs — give N, N%, +N or -N")


def slots_of(jobs: Relative | None, cpus: int) -> int:
    """How many tasks may run at once on a machine: at least 1, at most SLOTS_MAX."""
    if jobs is None:
        return min(max(cpus, 1), SLOTS_MAX)
    if jobs.kind == "count" and jobs.number == 0:
        return SLOTS_MAX
    return min(max(int(jobs.of(cpus)), 1), SLOTS_MAX)


def read_size(option: str, text: str) -> int:
    """Bytes in `1000`, `10k` (10,000), `10K` (10,240), `1.5G`."""
    found = re.fullmatch(f"({_NUMBER})([KMGTPkmgtp]?)", text)
    if found is None or not (size_bytes := int(float(found[1]) * _UNITS.get(found[2], 1))):
        raise UsageError(f"{option} {text}: not a size — give bytes, or a number with K, M or G")
    return size_bytes


def read_seconds(option: str, text: str) -> float:
    """Seconds in `30`, `0.5`, `2m`, `1d3.5h16.6m4s`."""
    parts = re.findall(f"({_NUMBER})([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{option} {text}: not a time — give seconds, or 2m, 1.5h, 1d")
    if any(not unit for _, unit in parts[:-1]):
        raise UsageError(f"{option} {text}: not a time — give seconds, or 2m, 1.5h, 1d")
    return sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)


def read_timeout(option: str, text: str) -> tuple[float, float]:
    """(seconds, multiple of the median): `30`, `2m`, or `200%` of the median run time so far."""
    if re.fullmatch(_NUMBER + "%", text):
        seconds, medians = 0.0, float(text[:-1]) / 100
    else:
        seconds, medians = read_seconds(option, text), 0.0
    if not seconds and not medians:
        raise UsageError(f"{option} {text}: a task needs some time — give 30, 2m or 200%")
    return seconds, medians


def read_count(option: str, text: str, *, least: int, unit: bool = False) -> int:
    """A whole number of at least `least`; with `unit`, `2k` and the like too."""
    found = re.fullmatch(r"([+-]?\d+)([KMGTPkmgtp]?)", text)
    if found is None or (found[2] and not unit):
        raise UsageError(f"{option} {text}: not a whole number")
    number = int(found[1]) * _UNITS.get(found[2], 1)
    if number < least:
        raise UsageError(f"{option} {text}: give at least {least}")
    return number


def read_on_lost(option: str, text: str) -> Literal["rerun", "wait", "fail"]:
    """What becomes of tasks of a machine that cannot be reached."""
    if text not in ("rerun", "wait", "fail"):
        raise UsageError(f"{option} {text}: say rerun (elsewhere, the default), wait or fail")
    return text


def read_nice(option: str, text: str) -> int:
    """A niceness from -20 to 19."""
    number = read_count(option, text, least=-20)
    if number > 19:
        raise UsageError(f"{option} {text}: give a number from -20 to 19")
    return number


def read_load(option: str, text: str) -> Relative:
    """A load average: `4`, or `80%` of the CPUs."""
    found = read_relative(option, text)
    if found.kind == "added":
        return found
    return Relative(found.kind, found.number or LOAD_LEAST)


def read_halt(option: str, text: str) -> HaltPolicy | None:
    """`never`, or `now|soon,fail|success|done=N|N%`; also the older 0, 1, 2, -1, -2 and N%."""
    if re.fullmatch(r"\d{1,2}%", text):
        text = "soon,fail=" + text
    text = _HALT_WORDS.get(text, text)
    if text == "never":
        return None
    found = re.fullmatch(rf"(now|soon),(fail|success|done)=({_NUMBER})(%?)", text)
    if found is None:
        raise UsageError(
            f"{option} {text}: give never, or now or soon with fail, success or done,"
            " such as soon,fail=1 or now,done=50%"
        )
    when = cast(Literal["soon", "now"], found[1])
    on = cast(Literal["fail", "success", "done"], found[2])
    number = float(found[3])
    if not number or (not found[4] and number != int(number)):
        raise UsageError(f"{option} {text}: give a whole number from 1, or a percentage")
    if found[4]:
        return HaltPolicy(when, on, percent=number)
    return HaltPolicy(when, on, count=int(number))


def read_env(option: str, text: str) -> list[str]:
    """`NAME`, `NAME,NAME` or `NAME=VALUE`."""
    found = [text] if "=" in text else text.split(",")
    if "_" in found:
        raise UsageError(f"{option} _ is GNU parallel's word for all variables — name them")
    for one in found:
        if re.match(r"[A-Za-z_][A-Za-z0-9_]*(=|\Z)", one) is None:
            raise UsageError(f"{option} {text}: give NAME, NAME,NAME or NAME=VALUE")
    return found


def read_pattern(option: str, text: str) -> str:
    """A regular expression."""
    if not text:
        raise UsageError(f"{option} needs a regular expression, such as , or '\\t'")
    try:
        re.compile(text)
    except re.error as error:
        raise UsageError(f"{option} {text}: no regular expression ({error})") from error
    return text


def read_priority(option: str, text: str) -> int:
    """A whole number; larger is more urgent."""
    if re.fullmatch(r"[+-]?\d{1,9}", text) and PRIORITY_MIN <= int(text) <= PRIORITY_MAX:
        return int(text)
    raise UsageError(
        f"{option} {text}: a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}; larger goes first"
    )


def read_user(option: str, text: str) -> str:
    """The name of a user."""
    if _NAME.fullmatch(text):
        return text
    raise UsageError(f"{option} {text}: not a user name")


def read_labels(
    option: str, texts: Sequence[str], *, are_machines: bool = False
) -> tuple[str, ...]:
    """Labels, several in one word with commas between them.

    are_machines: names of machines, or @label.
    """
    words = [word for text in texts for word in text.split(",")]
    for word in words:
        bare = word.removeprefix("@") if are_machines else word
        if not _NAME.fullmatch(bare):
            what = "a machine, or @label" if are_machines else "a label (without @)"
            raise UsageError(f"{option} {word}: not the name of {what}")
    return tuple(dict.fromkeys(words))
