"""What `covey run` has a machine do, and what it brings back. Pure.

The context of an errand is the same for all machines and travels once to each, by digest. The item
of a task is the machine's name. What was written to COVEY_OUTPUT comes back in `Report.value`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from covey.errors import DecodeError
from covey.model.pack import pack, unpack

#: First element of a context of this kind (`model.context` has 1 and 2).
ERRAND = 3
#: Bytes of files that one machine brings back from one run. They pass through the memory of the
#: head, and stay in its ledger.
GATHER_MAX_BYTES = 32 * 1024 * 1024
#: Files that one machine brings back from one run.
GATHER_FILES_MAX = 10_000
#: Names of files that were left where they are, as far as they are told.
LEFT_NAMES_MAX = 20


@dataclass(frozen=True, slots=True)
class Errand:
    """A command or a script, and where it works. Either `argv`, `line` or `script` says what."""

    #: A program and its arguments, byte for byte. With a script: the script's arguments.
    argv: tuple[bytes, ...] = ()
    #: A line for the shell of the machine (sh).
    line: bytes = b""
    #: Name and bytes of a script: kept at bin/<project>/<name> and run from there.
    script_name: bytes = b""
    script: bytes = b""
    #: Sets COVEY_DATA and COVEY_OUTPUT, and has what is written there gathered; "" = no project.
    project: str = ""
    #: Added to the environment of the machine.
    env: dict[str, str] = field(default_factory=dict[str, str])
    #: The Python of the agent runs `argv`.
    is_python: bool = False


@dataclass(frozen=True, slots=True)
class GatheredFile:
    """A file below COVEY_OUTPUT. The name is relative; whoever writes it checks it first."""

    name: bytes
    mode: int
    modified: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a machine brings back."""

    files: tuple[GatheredFile, ...] = ()
    #: Files that were written too and stay there: their names, as far as told, …
    left: tuple[bytes, ...] = ()
    #: … their number and bytes …
    left_count: int = 0
    left_bytes: int = 0
    #: … and the directory on the machine.
    directory: bytes = b""


def encode_errand(errand: Errand) -> bytes:
    """The bytes of its context; equal errands give equal bytes."""
    e = errand
    env = {_raw(name): _raw(value) for name, value in sorted(e.env.items())}
    row = [list(e.argv), e.line, e.script_name, e.script, _raw(e.project), env, e.is_python]
    return pack([ERRAND, *row])


def is_errand(context: bytes | memoryview) -> bool:
    """Whether the bytes of a context are those of an errand."""
    # A msgpack list of up to 15, then the kind.
    return len(context) > 1 and context[0] & 0xF0 == 0x90 and context[1] == ERRAND


def decode_errand(context: bytes) -> Errand:
    """The errand in a context.

    Raises:
        DecodeError: these are not the bytes of one.
    """
    try:
        kind, argv, line, script_name, script, project, env, is_python = unpack(context)
        if kind != ERRAND:
            raise DecodeError(f"a context is of the kind {kind!r}, not an errand")
        given = {_text(name): _text(value) for name, value in env.items()}
        words = tuple(bytes(word) for word in argv)
        return Errand(words, line, script_name, script, _text(project), given, bool(is_python))
    except (ValueError, TypeError, AttributeError) as error:
        raise DecodeError(f"an errand of {len(context)} bytes cannot be read: {error}") from error


def encode_gathered(gathered: Gathered) -> bytes:
    """The bytes for `Report.value`; b"" when there is nothing to tell."""
    g = gathered
    if not (g.files or g.left_count):
        return b""
    files = [[f.name, f.mode, f.modified, f.data] for f in g.files]
    return pack([files, list(g.left), g.left_count, g.left_bytes, g.directory])


def decode_gathered(data: bytes) -> Gathered:
    """What `encode_gathered` packed.

    Raises:
        DecodeError: these are not such bytes.
    """
    if not data:
        return Gathered()
    try:
        files, left, left_count, left_bytes, directory = unpack(data)
        rows = cast("Sequence[Sequence[Any]]", files)
        return Gathered(
            tuple(
                GatheredFile(bytes(name), int(mode), float(modified), bytes(content))
                for name, mode, modified, content in rows
            ),
            tuple(bytes(name) for name in left),
            int(left_count),
            int(left_bytes),
            bytes(directory),
        )
    except (ValueError, TypeError) as error:
        raise DecodeError(f"gathered files ({len(data)} bytes) cannot be read") from error


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
