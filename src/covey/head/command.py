"""`<state>/command`: runs this very covey for this very cluster, for those who come by ssh.

    sh ~/.local/state/covey/default/command status

Far clients (`covey --head`), joining machines and persistent heads use it: nothing need be in the
PATH of a non-interactive shell.
"""

import os
import shlex
import sys
from collections.abc import Mapping

from covey.bus.record import write_private
from covey.client.private import covey_root
from covey.settings import Settings

NAME = "command"
#: What the head was started with, and what a session over ssh would not have.
_KEPT = ("COVEY_NATS_SERVER", "COVEY_SSH_COMMAND", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "TMPDIR")


def write_command(settings: Settings) -> None:
    """Write it, where clients look for it: in the home's state directory, wherever state is."""
    directory = settings.home / settings.cluster
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(directory / NAME, command_text(settings, os.environ))


def command_text(settings: Settings, environ: Mapping[str, str]) -> str:
    """What is in it."""
    given = {name: environ[name] for name in _KEPT if environ.get(name)}
    given |= {"COVEY_HOME": str(settings.home), "COVEY_CLUSTER": settings.cluster}
    if settings.nats_server:
        given["COVEY_NATS_SERVER"] = settings.nats_server
    lines = [f"{name}={shlex.quote(value)}; export {name}" for name, value in sorted(given.items())]
    program = (
        f"import sys; sys.path.insert(0, {covey_root()!r}); sys.argv[0] = 'covey'; "
        "from covey.cli.main import main; sys.exit(main())"
    )
    words = shlex.join([sys.executable, "-P", "-c", program])
    return "\n".join(["# Runs covey for this cluster.", "unset COVEY_HEAD", *lines, ""]) + (
        f'exec {words} "$@"\n'
    )
