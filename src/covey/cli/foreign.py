"""Commands that end in words of the user's own: `covey run … -- CMD`, `covey exec MACHINE -- CMD`.

Options of covey stand before the first word that is none; what follows belongs to the user,
whatever it looks like. Whether `--` stood before a word is kept: it tells a command from a script.
"""

from collections.abc import Sequence

import click

#: Stands behind the `--` while click parses, which drops the `--` itself.
_MARK = "\0--"


class ForeignCommand(click.Command):
    """Its last argument is `words`, see `split_words`."""

    allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, but the first `--` leaves a mark."""
        if "--" in args:
            at = args.index("--")
            args = [*args[: at + 1], _MARK, *args[at + 1 :]]
        return super().parse_args(ctx, args)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """(words before the `--`, words behind it or None where there is no `--`)."""
    if _MARK not in words:
        return list(words), None
    at = words.index(_MARK)
    before = list(words[:at])
    # Where a word came first, click left the `--` in.
    if before and before[-1] == "--":
        before.pop()
    return before, list(words[at + 1 :])
