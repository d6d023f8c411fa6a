"""A command with replacement strings, and what it becomes for the arguments of one task.

The grammar is that of GNU parallel: the words of the command are joined by blanks into one shell
command line; `{} {.} {/} {//} {/.}` (all arguments), `{1} {2.} {-1//} …` (one of them), `{#}`
(task) and `{%}` (slot) are replaced, each value quoted for the shell, so that an argument never
becomes code. Two exceptions, both GNU's: a replacement string in the first word of the command
(with no `=` before it), and no command at all, make the arguments part of the command line itself,
unquoted throughout. A command without any replacement string gets ` {}` appended.

Most commands need no shell; then `render` gives the words, with the same effect as the shell's
reading. Runs on the client and inside the runner on machines: standard library only, bytes
everywhere, no I/O.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from covey.errors import DecodeError
from covey.model import shellwords
from covey.model.placeholders import Part, Placeholder, parse, values

Mode = Literal["one", "xargs", "context"]


_MODES: dict[str, Mode] = {"one": "one", "xargs": "xargs", "context": "context"}


class Rendered(NamedTuple):
    """What to run: `argv` directly, or else `script` by `shell -c`. Exactly one is set.

    `seq` is the number that stands for `{#}`, and belongs into PARALLEL_SEQ.
    """

    argv: list[bytes] | None
    script: bytes | None
    seq: int


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed command. Make it with `parse` or `from_wire`."""

    #: The command line as given (words joined by a blank), before anything was appended.
    text: bytes
    replacement: bytes
    mode: Mode
    names: tuple[bytes, ...]
    #: Append the arguments when the command has no replacement string.
    append: bool
    #: Words that name shell functions here, or None when only a shell may run anything.
    functions: frozenset[bytes] | None
    #: The last argument is not one: it is the number of the task, and stands for `{#}`. A job that
    #: goes on where an earlier one ended (`--resume`) counts its own tasks from 1.
    numbered: bool
    quoted: bool
    parts: tuple[Part, ...]
    _plan: "list[_Word] | None" = field(repr=False)

    @classmethod
    def parse(
        cls,
        command: Sequence[bytes] | bytes,
        *,
        replacement: bytes = b"{}",
        mode: Mode = "one",
        names: Iterable[bytes] = (),
        append: bool = True,
        functions: Iterable[bytes] | None = (),
        numbered: bool = False,
    ) -> "Template":
        """Parses a command.

        Args:
            command: words, joined by a blank; or the command line itself. Empty = the arguments
                are the command line.
            replacement: what stands for the arguments (`-I`).
            mode: several arguments are joined by blanks in the place of `{}` (`one`, `xargs`: the
                same), or the blank-separated word around `{}` is repeated for each (`context`:
                `-X`, `-N`).
            names: column names in order, for `{name}` (`--header :`).
            append: False with `--pipe`: the arguments are not appended.
            functions: exported shell functions, which must not be run as programs of the same name;
                None = the shell reads a start-up file, so never bypass it.
            numbered: the last argument of each task is the number that stands for `{#}`.
        """
        text = command if isinstance(command, bytes) else b" ".join(command)
        columns = tuple(names)
        parts = parse(text, replacement, columns)
        quoted = True
        if not text:
            parts, quoted = (Placeholder(None),), False
        elif _first_word_is_replaced(parts):
            quoted = False
        elif append and not any(isinstance(part, Placeholder) for part in parts):
            parts = (*parts, b" ", Placeholder(None))
        names_of_shell = None if functions is None else frozenset(functions)
        plan = _plan(parts, names_of_shell) if quoted else None
        return cls(
            text,
            replacement,
            mode,
            columns,
            append,
            names_of_shell,
            numbered,
            quoted,
            _merge(parts),
            plan,
        )

    def to_wire(self) -> list[object]:
        """A list that msgpack can carry."""
        functions = None if self.functions is None else sorted(self.functions)
        names = list(self.names)
        fixed = [self.text, self.replacement, self.mode, names, self.append]
        return [*fixed, functions, self.numbered]

    @classmethod
    def from_wire(cls, obj: object) -> "Template":
        """The template that `to_wire` described.

        Raises:
            DecodeError: `obj` is no such list.
        """
        try:
            text, replacement, mode, names, append, functions, numbered = cast("list[Any]", obj)
            return cls.parse(
                _bytes(text),
                replacement=_bytes(replacement),
                mode=_MODES[mode],
                names=map(_bytes, names),
                append=bool(append),
                functions=None if functions is None else map(_bytes, functions),
                numbered=bool(numbered),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise DecodeError("a command template could not be read") from error

    @property
    def uses_arguments(self) -> bool:
        """Whether any argument appears in what is run."""
        return any(isinstance(part, Placeholder) and not part.number for part in self.parts)

    def command_text(self, args: Sequence[bytes], seq: int, slot: int) -> bytes:
        """The shell command line: what `--dry-run` prints and a joblog holds under Command."""
        if self.numbered:
            args, seq = self.unnumbered(args)
        return self._text(args, seq, slot)

    def unnumbered(self, args: Sequence[bytes]) -> tuple[Sequence[bytes], int]:
        """The arguments, and the number that was carried behind them (see `numbered`)."""
        return args[:-1], int(args[-1])

    def _text(self, args: Sequence[bytes], seq: int, slot: int) -> bytes:
        if self.mode == "context" and len(args) != 1:
            return self._context_text(args, seq, slot)
        return b"".join(
            part if isinstance(part, bytes) else self._value(part, args, seq, slot)
            for part in self.parts
        )

    def fill(self, args: Sequence[bytes], seq: int, slot: int) -> bytes:
        """The text with the values as they are, unquoted: for names of files, never for a shell."""
        return b"".join(
            part if isinstance(part, bytes) else b" ".join(values(part, args, seq, slot))
            for part in self.parts
        )

    def render(self, args: Sequence[bytes], *, seq: int, slot: int) -> Rendered:
        """What to run for these arguments."""
        if self.numbered:
            args, seq = self.unnumbered(args)
        if self._plan is not None:
            argv = self._argv(args, seq, slot)
            if shellwords.arguments_are_plain(argv):
                return Rendered(argv, None, seq)
        script = self._text(args, seq, slot)
        if not self.quoted and self.functions is not None:
            words = shellwords.plain_argv(script)
            if words is not None and words[0] not in self.functions:
                return Rendered(words, None, seq)
        return Rendered(None, script, seq)

    def _value(self, part: Placeholder, args: Sequence[bytes], seq: int, slot: int) -> bytes:
        chosen = values(part, args, seq, slot)
        if self.quoted and not part.number:
            return b" ".join(map(shellwords.quote, chosen))
        return b" ".join(chosen)

    def _context_text(self, args: Sequence[bytes], seq: int, slot: int) -> bytes:
        done: list[bytes] = []
        for word in _blank_words(self.parts):
            if not any(isinstance(part, Placeholder) and _repeats(part) for part in word):
                copies: list[Sequence[Part]] = [word]
            else:
                copies = [_fix(word, n) for n in range(1, len(args) + 1)]
            texts: list[bytes] = []
            for copy in copies:
                pieces = [
                    part if isinstance(part, bytes) else self._value(part, args, seq, slot)
                    for part in copy
                ]
                texts.append(b"".join(pieces))
            done.append(b" ".join(texts))
        return b"".join(done)

    def _argv(self, args: Sequence[bytes], seq: int, slot: int) -> list[bytes]:
        argv: list[bytes] = []
        for word in self._plan or ():
            if isinstance(word, bytes):
                argv.append(word)
            elif self.mode == "context" and len(args) != 1 and any(map(_repeats_part, word)):
                for n in range(1, len(args) + 1):
                    argv += _word(_fix(word, n), args, seq, slot)
            else:
                argv += _word(word, args, seq, slot)
        return argv


_Word = bytes | tuple[Part, ...]


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(type(value).__name__)
    return value


def _first_word_is_replaced(parts: Sequence[Part]) -> bool:
    first = parts[0]
    if isinstance(first, Placeholder):
        return True
    return len(parts) > 1 and re.search(rb"[\s=]", first) is None


def _repeats(part: Placeholder) -> bool:
    return part.position == 0 and not part.number


def _repeats_part(part: Part) -> bool:
    return isinstance(part, Placeholder) and _repeats(part)


def _fix(word: Sequence[Part], n: int) -> list[Part]:
    """The word for the n-th argument: `{}` becomes `{n}`."""
    return [
        part._replace(position=n) if isinstance(part, Placeholder) and _repeats(part) else part
        for part in word
    ]


def _merge(parts: Sequence[Part]) -> tuple[Part, ...]:
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _blank_words(parts: Sequence[Part]) -> list[list[Part]]:
    """Runs of non-blank parts, and the blanks between them as words of their own."""
    words: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, Placeholder):
            words[-1].append(part)
            continue
        for piece in re.findall(rb"\s+|\S+", part):
            if piece.isspace():
                words += [[piece], []]
            else:
                words[-1].append(piece)
    return [word for word in words if word]


def _plan(parts: Sequence[Part], functions: frozenset[bytes] | None) -> list[_Word] | None:
    """The words of a command that needs no shell, or None."""
    if functions is None:
        return None
    words: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, Placeholder):
            words[-1].append(part)
            continue
        pieces = shellwords.elements(part)
        if pieces is None:
            return None
        for piece in pieces:
            if piece is None:
                words.append([])
            else:
                words[-1].append(piece)
    plan: list[_Word] = []
    for word in filter(None, words):
        joined = _merge(word)
        only = joined[0]
        plan.append(only if len(joined) == 1 and isinstance(only, bytes) else joined)
    program = plan[0] if plan else None
    if not isinstance(program, bytes) or program in functions:
        return None
    return plan if shellwords.program_is_plain(program) else None


def _word(word: Sequence[Part], args: Sequence[bytes], seq: int, slot: int) -> list[bytes]:
    """The words that one word of the plan becomes: none when it held only a missing argument."""
    done: list[bytes] = []
    current: bytes | None = None
    for part in word:
        if isinstance(part, bytes):
            current = part if current is None else current + part
            continue
        for n, value in enumerate(values(part, args, seq, slot)):
            if n and current is not None:
                done.append(current)
                current = value
            else:
                current = value if current is None else current + value
    if current is not None:
        done.append(current)
    return done
