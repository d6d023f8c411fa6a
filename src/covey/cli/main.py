"""What `covey` does: which command, what an error looks like, and the exit code.

`covey map` has a grammar of its own (GNU parallel's), so its words never pass through click.
Everything dear is imported late: `covey --version` needs neither click nor the commands,
`covey --help` neither asyncio nor the bus.
"""

import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import cast

from covey._version import VERSION
from covey.errors import ConfigError, CoveyError, InternalError, LedgerCorrupt

#: Exit codes of every command but `map` and `attach`.
OK, FAILED, USAGE = 0, 1, 2
#: Commands whose exit code says something of the user's own work: what it is where the command
#: line is wrong or covey itself failed. `map` and `run` count failed items up to 101, `exec`
#: passes on the code of the command.
FAILED_CODES = {"map": 255, "run": 255, "exec": 125}
#: Ctrl-C, as a shell says it: 128 + SIGINT.
INTERRUPTED = 130
#: The reader of our output went away: 128 + SIGPIPE.
PIPE_CLOSED = 141

#: With `--head`, these run on the machine of the head: they need its files, or its connections.
AT_HEAD = frozenset(
    {
        *("up", "down", "status", "exec", "drain", "doctor", "hosts", "cancel", "resume", "prune"),
        *("trace",),
        *("chaos", "ping", "start_local", "shutdown_local"),
        *("deploy", "start", "erase", "kill"),
    }
)
_FLAGS = frozenset({"--json", "-v", "--verbose"})
#: click looks here when a shell asks for completions.
_COMPLETE_VAR = "_COVEY_COMPLETE"


def main(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code; never raises."""
    argv = sys.argv[1:] if argv is None else argv
    verbose = _is_verbose(argv)
    failed_code = None
    _open_what_was_closed()
    try:
        if _COMPLETE_VAR in os.environ:
            return _complete()
        before, name, after = split_command(argv)
        failed_code = FAILED_CODES.get(after[0] if name == "help" and after else name)
        code = _dispatch(before, name, after)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return PIPE_CLOSED
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else FAILED
    # One of the three places where everything is caught (CONTRIBUTING): a person must see one line.
    except Exception as error:  # noqa: BLE001
        return _fail(error, verbose=verbose, failed_code=failed_code)


def split_command(argv: list[str]) -> tuple[list[str], str, list[str]]:
    """The options before the command, the command ("" = none), and all that follows it."""
    at = 0
    while at < len(argv):
        word = argv[at]
        if not word.startswith("-") or word in ("-", "--"):
            return argv[:at], word, argv[at + 1 :]
        at += 2 if word in ("--cluster", "--head") else 1
    return argv, "", []


def _is_verbose(argv: list[str]) -> bool:
    before, name, after = split_command(argv)
    # What follows these may belong to the user's own command.
    return bool({"-v", "--verbose"} & set(before if name in FAILED_CODES else before + after))


def _dispatch(before: list[str], name: str, after: list[str]) -> int:
    if "-V" in before or "--version" in before:
        sys.stdout.write(f"covey {VERSION}\n")
        return OK
    if name == "help":
        before, name, after = before, after[0] if after else "", ["--help"]
        if not name:
            return _run_tree(["--help"])
    if "--door" in before:
        return _program("covey.cli.desks", "door", before)
    if "--join-desk" in before:
        return _program("covey.cli.desks", "join_desk", before)
    if (head := head_of_words(before, name, after)) and name in AT_HEAD:
        return _pass_on(head, before, name, after)
    if name == "map" and not {"-h", "--help"} & set(before):
        passed_on = [word for word in before if word not in ("-v", "--verbose")]
        return _run_map(passed_on + after)
    if not name and not before:
        return _run_tree(["--help"])
    return _run_tree([*before, *([name] if name else []), *after])


def head_of_words(before: list[str], name: str, after: list[str]) -> str:
    """The far head that a command line names, or $COVEY_HEAD; "" = none."""
    # What stands behind these is the user's own command.
    words = before if name in FAILED_CODES else before + after
    words = words[: words.index("--")] if "--" in words else words
    for at, word in enumerate(words):
        if word == "--head" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--head="):
            return word.removeprefix("--head=")
    return os.environ.get("COVEY_HEAD", "").strip()


def _pass_on(head: str, before: list[str], name: str, after: list[str]) -> int:
    found = importlib.import_module("covey.cli.at_head").pass_on
    run = cast(Callable[[str, list[str], str, list[str]], int], found)
    return run(head, before, name, after)


def _program(module: str, name: str, words: list[str]) -> int:
    """What runs for those who come by ssh (`<state>/command`)."""
    found = getattr(importlib.import_module(module), name)
    return cast(Callable[[list[str]], int], found)(words)


def _run_map(argv: list[str]) -> int:
    found = importlib.import_module("covey.cli.map.command").run_map
    return cast(Callable[[list[str]], int], found)(argv)


def _run_tree(argv: list[str]) -> int:
    from click.exceptions import Exit

    from covey.cli.tree import command_tree

    # Not click's `main`: it answers Ctrl-C and a closed pipe in its own way.
    tree = command_tree()
    try:
        with tree.make_context("covey", list(argv)) as context:
            code = tree.invoke(context)
    except Exit as ended:
        code = ended.exit_code
    return code if isinstance(code, int) else OK


def _complete() -> int:
    """Answers a shell that completes: the words are in its environment."""
    from covey.cli.tree import command_tree

    command_tree().main([], prog_name="covey", complete_var=_COMPLETE_VAR)
    return OK


def _fail(error: Exception, *, verbose: bool, failed_code: int | None) -> int:
    """Says what went wrong in one line and returns the exit code."""
    line, code = _line_and_code(error)
    if line:
        _say_error(f"covey: {line}\n")
    if verbose and line:
        import traceback

        _say_error("".join(traceback.format_exception(error)))
    return code if failed_code is None or code == INTERRUPTED else failed_code


def _line_and_code(error: Exception) -> tuple[str, int]:
    if isinstance(error, InternalError):
        return f"{one_line(error)} (a bug in covey; -v shows where)", FAILED
    if isinstance(error, LedgerCorrupt) and not error.data.get("kept_as"):
        # Who only reads leaves it as it is.
        return f"{one_line(error)} — the next covey map or up keeps it aside and goes on", FAILED
    if isinstance(error, CoveyError):
        return one_line(error), USAGE if isinstance(error, ConfigError) else FAILED
    if isinstance(error, OSError) and error.strerror:
        return _line_of_system(error), FAILED
    if type(error).__module__.partition(".")[0] == "click":
        from covey.cli.usage import usage_line

        return usage_line(error)
    text = " ".join(str(error).split())
    return (
        f"a bug in covey: {type(error).__name__}: {text} — please report it with what -v shows",
        FAILED,
    )


def _line_of_system(error: OSError) -> str:
    """What the system refused, of which file, and what helps."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        # Where no file is named, it may be the one that the output goes to.
        what = where or " where covey keeps its state, or where its output goes"
        return f"{error.strerror}{what} — free space there, or set COVEY_HOME elsewhere"
    if error.errno == errno.ENOENT and not where and _is_lost():
        return "the directory that you are in is gone — go to one that is there: cd"
    if where and _is_state(str(error.filename)):
        return f"{error.strerror}{where} — check who owns it, or set COVEY_HOME elsewhere"
    return f"{error.strerror}{where}"


def _is_lost() -> bool:
    """Whether the current directory was removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _is_state(path: str) -> bool:
    """Whether a file is where covey keeps its state."""
    from covey.settings import read_settings

    try:
        home = str(read_settings().home)
    except CoveyError:
        # Another setting is wrong as well: the error that is being told must not be lost for that.
        return False
    return path == home or path.startswith(home + os.sep)


def one_line(error: CoveyError) -> str:
    """`what — what to do`: the two sentences of the error, without a full stop or a line end."""
    text = " ".join(error.message.split())
    opening = (type(error).__doc__ or "").split(" ", 1)[0]
    if opening and text.startswith(opening + " "):
        text = text[0].lower() + text[1:]
    what, stop, advice = text.partition(". ")
    if stop and advice[:1].isupper() and " — " not in text:
        text = f"{what} — {advice[0].lower()}{advice[1:]}"
    return text.removesuffix(".")


def _say_error(text: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        # Nobody can read it any more; the exit code still tells.
        return


def _open_what_was_closed() -> None:
    """Lets a closed standard stream (`>&-`) lead nowhere, for us and for what we start.

    Python has None in its place, and the next file or socket would take its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def _drop_stdout() -> None:
    """Lets the interpreter's last flush go nowhere, so that it does not complain on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
