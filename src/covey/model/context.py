"""What all tasks of a shape share, and what the payload of one task is.

A context is sent to an agent once, by digest (`Shape.context` is the sha256 of its bytes), and is
loaded once per child process. A payload is what differs from task to task:

    command    msgpack [args: list of bytes, stdin: bytes or nil]
    callable   b"C" + pickle((args, kwargs))     one call; its value is the result
               b"M" + pickle([args tuple, …])    a call each; the result is the list of values,
                                                 up to the first exception
               b"U" + pickle([args tuple, …])    the same for TURN_S at most: the result is a pair,
                                                 the list of values so far, of one call or more,
                                                 and the seconds that these calls took
"""

from dataclasses import dataclass, field
from typing import Any

from covey.errors import DecodeError
from covey.model.pack import pack, unpack

#: First byte of a callable's payload: one call, or a batch of calls (`Executor.map`).
CALL_TAG = b"C"
MAP_TAG = b"M"
TURN_TAG = b"U"
#: After so long, a batch with TURN_TAG begins no further call.
TURN_S = 0.05

_COMMAND = 1
_CALL = 2


@dataclass(frozen=True, slots=True)
class CommandContext:
    """How the commands of a shape are made and where they run."""

    #: Wire form of `model.template.Template`.
    template: Any
    #: Runs what needs a shell, as `shell -c SCRIPT`.
    shell: str = "/bin/sh"
    #: The whole environment, but for the variables that covey adds to each task.
    env: dict[str, str] = field(default_factory=dict[str, str])
    #: Directory to run in; "" = a directory per task, below the working directory of the agent.
    cwd: str = ""
    #: The computer that `env` and `cwd` belong to (`agent.here`); "" = any. Elsewhere, the
    #: environment is the agent's and what is in `env_elsewhere`, the directory `cwd_elsewhere`.
    at: str = ""
    env_elsewhere: dict[str, str] = field(default_factory=dict[str, str])
    #: Relative to the working directory of the agent; "" = a directory per task.
    cwd_elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class CallContext:
    """A function, and the state of the interpreter that it expects."""

    #: The pickled function (pickle or cloudpickle).
    function: bytes
    sys_path: list[str] = field(default_factory=list[str])
    #: Directory to run in; "" = where the child process is.
    cwd: str = ""
    #: The whole environment; empty = that of the agent.
    env: dict[str, str] = field(default_factory=dict[str, str])
    argv: list[str] = field(default_factory=list[str])
    #: Path of the program's script, for `__main__.__file__` ("" = none). It is never run again.
    main_path: str = ""
    #: As of a command; elsewhere neither the directory nor `sys_path` nor `env` is used.
    at: str = ""
    #: `3.11`: of the program. Code that travels by value runs on no other.
    python: str = ""
    #: Modules of the program that no machine has: name -> (is a package, source).
    modules: dict[str, tuple[bool, bytes]] = field(default_factory=dict[str, tuple[bool, bytes]])
    #: What processes of a program that uses `multiprocessing` show to each other: with it, queues
    #: and the like of a `Manager` work as arguments. b"" = it does not.
    authkey: bytes = b""


Context = CommandContext | CallContext


def encode_context(context: Context) -> bytes:
    """The bytes of a context; equal contexts give equal bytes."""
    if isinstance(context, CommandContext):
        c = context
        here = [_raw_map(c.env), _raw(c.cwd), _raw(c.at)]
        there = [_raw_map(c.env_elsewhere), _raw(c.cwd_elsewhere)]
        return pack([_COMMAND, c.template, _raw(c.shell), *here, *there])
    c = context
    paths, argv = [_raw(p) for p in c.sys_path], [_raw(a) for a in c.argv]
    env = _raw_map(c.env)
    modules = {name: list(found) for name, found in sorted(c.modules.items())}
    rest = [_raw(c.main_path), _raw(c.at), c.python, modules, *([c.authkey] if c.authkey else ())]
    return pack([_CALL, c.function, paths, _raw(c.cwd), env, argv, *rest])


def decode_context(data: bytes) -> Context:
    """The context in `data`.

    Raises:
        DecodeError: these are not the bytes of a context.
    """
    try:
        kind, *row = unpack(data)
        if kind == _COMMAND:
            template, shell, env, cwd, at, env_there, cwd_there = row
            here = _text_map(env), _text(cwd), _text(at)
            there = _text_map(env_there), _text(cwd_there)
            return CommandContext(template, _text(shell), *here, *there)
        if kind == _CALL:
            function, paths, cwd, env, argv, main, at, python, modules, *more = row
            return CallContext(
                function,
                [_text(p) for p in paths],
                _text(cwd),
                _text_map(env),
                [_text(a) for a in argv],
                _text(main),
                _text(at),
                python,
                {name: (bool(is_package), code) for name, (is_package, code) in modules.items()},
                *more,
            )
    except (ValueError, TypeError, AttributeError) as error:
        raise DecodeError(f"a context of {len(data)} bytes cannot be read: {error}") from error
    raise DecodeError(f"a context is of the unknown kind {kind!r}")


def encode_command(args: list[bytes], stdin: bytes | None = None) -> bytes:
    """The payload of a command."""
    return pack([args, stdin])


def decode_command(payload: bytes | memoryview) -> tuple[list[bytes], bytes | None]:
    """Arguments and standard input out of the payload of a command.

    Raises:
        DecodeError: these are not the bytes of such a payload.
    """
    try:
        args, stdin = unpack(payload)
    except (ValueError, TypeError) as error:
        raise DecodeError(f"the payload of a command cannot be read: {error}") from error
    return args, stdin


# Paths and environments may hold any byte but NUL: str with surrogates here, bytes on the wire.


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw_map(env: dict[str, str]) -> dict[bytes, bytes]:
    return {_raw(name): _raw(value) for name, value in sorted(env.items())}


def _text_map(env: dict[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in env.items()}
