"""`covey --head user@host COMMAND` for commands that run on the machine of the head."""

import sys
from collections.abc import Sequence

from covey.cli.main import FAILED, FAILED_CODES
from covey.fleet.to_head import NO_HEAD, ToHead, command_line
from covey.settings import read_settings


def pass_on(head: str, before: Sequence[str], name: str, after: Sequence[str]) -> int:
    """Run it there, with our standard input, output and terminal; its exit code.

    Raises:
        CoveyError: the machine cannot be reached.
    """
    is_users = name in FAILED_CODES
    words, head_words = without(before, "--head")
    words, cluster = without(words, "--cluster")
    if not is_users:
        after, more = without(after, "--head")
        after, other = without(after, "--cluster")
        head_words, cluster = head_words or more, other or cluster
    settings = read_settings(cluster=cluster or None)
    argv = [*words, name, *after]
    if name in ("up", "start", "deploy"):
        from covey.cli.up_far import up_far

        return up_far(head, settings, argv)
    return run_there(head, settings.cluster, argv)


def run_there(head: str, cluster: str, argv: Sequence[str]) -> int:
    """Run a command line of covey on that machine; its exit code."""
    reach = ToHead(head)
    try:
        reach.log_in()
        is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        code = reach.connection.passthrough(command_line(cluster, argv), tty=is_terminal)
    finally:
        reach.close()
    return FAILED if code == NO_HEAD else code


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
