"""Numbers on a command line: negative ones too, so that the command can say what is wrong."""

import math
from typing import Any

import click

from covey.errors import UsageError

#: Stands for the minus of a negative number while click parses: with `-` it would be an option.
_MINUS = "\N{MINUS SIGN}"


class Number(click.ParamType[int | float]):
    """A finite number, whole or not."""

    name = "number"

    def __init__(self, *, is_whole: bool = False) -> None:
        self._is_whole = is_whole

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number in a word.

        Raises:
            UsageError: it is none.
        """
        if isinstance(value, int | float):
            return value
        text = as_written(str(value))
        kind = "a whole number" if self._is_whole else "a number"
        try:
            number = int(text) if self._is_whole else float(text)
            # Longer than any float: an OverflowError.
            is_finite = math.isfinite(number)
        except (ValueError, OverflowError):
            is_finite = False
            number = 0
        if not is_finite:
            label = param.make_metavar(ctx) if param and ctx else "it"
            if isinstance(param, click.Option):
                label = param.opts[0]
            raise UsageError(f"{label.strip('[]')} is {text!r}: give {kind}")
        return number


class NumbersCommand(click.Command):
    """A command whose words may be negative numbers."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let `-5` be a word and no option."""
        return super().parse_args(ctx, [_shown(word) for word in args])


def as_written(word: str) -> str:
    """A word of the command line that is no number, with the minus that it had."""
    return word.replace(_MINUS, "-")


def _shown(word: str) -> str:
    if not word.startswith("-"):
        return word
    try:
        float(word)
    except ValueError:
        return word
    return _MINUS + word[1:]
