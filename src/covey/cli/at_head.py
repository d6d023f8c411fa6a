"""`covey --head user@host COMMAND` for commands that run on the machine of the head."""

import sys
from collections.abc import Sequence

from covey.cli.main import FAILED_CODES, OK
from covey.cli.output import note
from covey.errors import NotUp, UsageError
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.to_head import NO_HEAD, ToHead, command_line, no_reader_line
from covey.settings import Settings, read_settings

#: PPSS's words for `up` -> what they say to it.
_UP = {"start": (), "deploy": ("--no-start",)}
#: Where nothing is up, nothing is what these want.
_DOWN = ("down", "erase", "kill", "shutdown_local")
#: How long covey there may take to say that it is there.
LOOK_MAX_S = 30.0
#: A purge is one of an agent: of none here, for the machine may have one of somebody else's head.
_NO_AGENT = "no-agent"


def pass_on(head: str, before: Sequence[str], name: str, after: Sequence[str]) -> int:
    """Run it there, with our standard input, output and terminal; its exit code.

    Raises:
        ConnectFailed: the machine cannot be reached.
        NotUp: no cluster is up there.
        UsageError: it cannot be meant for there.
    """
    is_users = name in FAILED_CODES
    words, head_words = without(before, "--head")
    words, cluster = without(words, "--cluster")
    if not is_users:
        after, more = without(after, "--head")
        after, other = without(after, "--cluster")
        head_words, cluster = head_words or more, other or cluster
    settings = read_settings(cluster=cluster or None)
    if name in _UP:
        name, after = "up", [*_UP[name], *map(_of_up, after)]
    argv = [*words, name, *after]
    if name == "up":
        from covey.cli.up_far import up_far

        return up_far(head, settings, argv)
    if name in ("erase", "kill") and any(word != _of_up(word) for word in after):
        raise UsageError(f"with --head, {name} takes no list of this side: name HOSTs, or --limit")
    is_purge = name == "erase" or (name == "down" and "--purge" in after)
    reach = ToHead(head)
    try:
        reach.log_in()
        code = _run_there(reach, settings, argv)
        if is_purge and code in (OK, NO_HEAD):
            _purge(reach, settings)
    finally:
        reach.close()
    if code != NO_HEAD:
        return code
    if name not in _DOWN:
        raise NotUp(f"cluster {settings.cluster} is not up on {head}: covey up --head {head}")
    note(f"covey: cluster {settings.cluster} is not up on {head}")
    return OK


def _of_up(word: str) -> str:
    """PPSS's `-C FILE` is a list of machines here, and is sent along as such."""
    option, is_joined, value = word.partition("=")
    return f"--hosts-file{is_joined}{value}" if option in ("-C", "--config") else word


def _run_there(reach: ToHead, settings: Settings, argv: Sequence[str]) -> int:
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    line = command_line(settings.cluster, argv, is_quiet=True)
    return reach.connection.passthrough(line, tty=is_terminal)


def _purge(reach: ToHead, settings: Settings) -> None:
    """Remove what `up --head` sent, once the head is gone: it cannot remove what it runs from."""
    line = command_line(settings.cluster, ["--version"], is_quiet=True)
    if reach.connection.run(line, timeout_s=LOOK_MAX_S).code == NO_HEAD:
        bootstrap.purge(reach.connection, settings.cluster, _NO_AGENT, archives.current())
        reach.connection.run(no_reader_line(settings.cluster), timeout_s=LOOK_MAX_S)


def without(words: Sequence[str], option: str) -> tuple[list[str], str]:
    """The words without an option, and its value; what stands behind `--` stays as it is."""
    kept: list[str] = []
    value = ""
    end = words.index("--") if "--" in words else len(words)
    at = 0
    while at < end:
        word = words[at]
        if word == option and at + 1 < end:
            value = words[at + 1]
            at += 2
            continue
        if word.startswith(option + "="):
            value = word.removeprefix(option + "=")
        else:
            kept.append(word)
        at += 1
    return kept + list(words[end:]), value
