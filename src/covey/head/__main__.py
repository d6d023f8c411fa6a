"""Starts a head: `python -m covey.head`, settings as one JSON line on standard input.

Says `{"ready": true, "note": …}` or `{"error": [class, sentence]}` on standard output, and stays
until SIGTERM.
"""

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from covey.agent.root import harden
from covey.bus.loop import run_loop
from covey.errors import AlreadyUp, CoveyError, StateInUse
from covey.head.service import Head
from covey.scheduler import locks
from covey.settings import Settings


def main() -> None:
    """Take the lock, serve, leave."""
    plain = json.loads(sys.stdin.readline())
    home, state = Path(plain.pop("home")), Path(plain.pop("local_state"))
    settings = Settings(home, **plain, local_state=state)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    harden()
    try:
        _lock(settings)
        run_loop(_serve(settings))
    except CoveyError as error:
        _say({"error": [type(error).__name__, str(error)]})
        sys.exit(1)
    # Threads that wait for an ssh to connect would hold us up: that has limits of its own.
    logging.shutdown()
    os._exit(0)


async def _serve(settings: Settings) -> None:
    head = Head(settings)
    await head.start()
    _say({"ready": True, "note": head.note})
    try:
        await head.run()
    finally:
        await head.close()


def _lock(settings: Settings) -> None:
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        locks.take(settings.state_dir / locks.HEAD_LOCK)
    except StateInUse as error:
        raise AlreadyUp(
            f"cluster {settings.cluster} is up already: see it with: covey status"
        ) from error


def _say(word: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(word) + "\n")
        sys.stdout.flush()
        # Nothing more is said here: whoever waited for it may go.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)


if __name__ == "__main__":
    main()
