"""`covey join` and `covey leave`: this machine becomes one of a cluster by its own ssh.

The keeper (`client.keeper`) is one process: `covey join` itself with --foreground, else detached.
"""

import contextlib
import json
import os
import platform
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from covey.agent import proctree
from covey.client import doorway
from covey.client.keeper import Joined, JoinOrder, Keeper, notes_dir
from covey.client.program import covey_root
from covey.errors import AlreadyUp, CoveyError, StartFailed
from covey.fleet.login import slug
from covey.fleet.to_head import ToHead
from covey.settings import Settings

#: A detached keeper says by then that it has joined, or why not.
JOINED_MAX_S = 120.0
#: From SIGTERM to SIGKILL of a keeper that is told to leave: its agent's tasks get their grace.
LEAVE_MAX_S = 60.0
#: How often it is looked whether one has ended.
LOOK_EVERY_S = 0.02


def join_detached(settings: Settings, order: JoinOrder, tell: Callable[[str], None]) -> None:
    """Join, and leave a keeper behind. Returns when the agent runs.

    Raises:
        AlreadyUp: this machine has joined under this name already.
        CoveyError: the head cannot be reached, or refuses us.
    """
    _check_free(settings, order)
    _meet(order)
    program = (
        f"import sys; sys.path.insert(0, {covey_root()!r}); sys.argv[0] = 'covey'; "
        "from covey.client.joining import main; main()"
    )
    log = notes_dir(settings) / f"{order.agent}.log"
    with log.open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,
            cwd="/",
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        plain = {"home": str(settings.home), "order": asdict(order)}
        process.stdin.write(json.dumps(plain).encode() + b"\n")
        process.stdin.close()
    is_there = select.select([process.stdout], [], [], JOINED_MAX_S)[0]
    line = process.stdout.readline() if is_there else b""
    process.stdout.close()
    word: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        word = json.loads(line or b"{}")
    if error := word.get("error"):
        process.wait(LEAVE_MAX_S)
        raise doorway.error_from_plain(error)
    if not word.get("joined"):
        process.kill()
        process.wait()
        raise StartFailed(f"joining {order.head} did not come to an end: see {log}")
    process.returncode = 0
    tell(str(word["joined"]))


def _meet(order: JoinOrder) -> None:
    """The first contact, with whoever sits at the terminal; the keeper comes again alone."""
    reach = ToHead(order.head)
    try:
        reach.log_in()
    finally:
        reach.close()


def join_here(settings: Settings, order: JoinOrder, tell: Callable[[str], None]) -> None:
    """Join, and be the keeper: returns when the machine has left.

    Raises:
        AlreadyUp: this machine has joined under this name already.
        CoveyError: the head cannot be reached, or refuses us.
    """
    _check_free(settings, order)
    Keeper(settings, order, tell).run(is_alone=False)


def main() -> None:
    """The detached keeper: an order on standard input, one line on standard output."""
    plain = json.loads(sys.stdin.readline())
    settings, order = Settings(Path(plain["home"])), JoinOrder(**plain["order"])
    settings = replace(settings, cluster=order.cluster)

    def tell(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(json.dumps({"joined": line}) + "\n")
            sys.stdout.flush()
            # Nothing more is said there: whoever waited for it may go.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)

    try:
        Keeper(settings, order, tell).run(is_alone=True)
    except CoveyError as error:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(json.dumps({"error": doorway.error_to_plain(error)}) + "\n")
            sys.stdout.flush()
        sys.stderr.write(f"{error.message}\n")
        sys.exit(1)


def joined(settings: Settings) -> list[Joined]:
    """The keepers that run here."""
    found: list[Joined] = []
    for path in sorted(notes_dir(settings).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            one = Joined(**json.loads(path.read_text()))
            if one.is_alive:
                found.append(one)
    return found


def leave_all(keepers: Sequence[Joined]) -> list[Joined]:
    """End keepers, with their agents; returns them when they have ended."""
    for keeper in keepers:
        proctree.signal_all([keeper.pid], signal.SIGTERM)
    until = time.monotonic() + LEAVE_MAX_S
    for keeper in keepers:
        while keeper.is_alive:
            if time.monotonic() > until:
                proctree.signal_all([keeper.pid], signal.SIGKILL)
            time.sleep(LOOK_EVERY_S)
    return list(keepers)


def _check_free(settings: Settings, order: JoinOrder) -> None:
    for one in joined(settings):
        if one.agent == order.agent and one.cluster == order.cluster:
            raise AlreadyUp(
                f"this machine has joined {one.head} as {one.agent} already: end that with"
                " covey leave, or join under another name with --name"
            )


def default_name() -> str:
    """What this machine is called when nobody says otherwise: its host name, made safe."""
    return slug(platform.node().partition(".")[0]) or "machine"
