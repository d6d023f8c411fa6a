"""`covey --head user@host up`: puts covey onto that machine, and brings the cluster up there.

Nothing need be installed there but Python: the archive that machines get is sent, and nats-server
where this machine's runs there as well. The machines are named on this side; that one's own ssh
reaches them, no agent is forwarded.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from covey.bus.binary import find_server
from covey.errors import ServerMissing, UsageError
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.call_settings import config_places
from covey.fleet.config import read_config, read_users
from covey.fleet.probe import Probe, probe
from covey.fleet.ssh import Connection, script, words
from covey.fleet.to_head import ToHead
from covey.settings import Settings

#: Looking for a program there, or making one runnable.
LOOK_MAX_S = 30.0
_FILE_OPTIONS = ("-H", "--hosts-file")
#: Options of `up` whose value names no machine to be brought up.
_VALUE_OPTIONS = ("--limit", "--slots")


def up_far(head: str, settings: Settings, argv: Sequence[str]) -> int:
    """Run `up` there; its exit code.

    Raises:
        ConnectFailed, BootstrapFailed: it cannot be reached, or has no Python that covey runs on.
        ServerMissing: it has no nats-server, and ours does not run there.
    """
    reach = ToHead(head)
    try:
        reach.log_in(accept_new="--accept-new-host-keys" in argv)
        connection = reach.connection
        found = probe(connection, settings.cluster)
        archive = archives.current(kind="head")
        bootstrap.send_archive(connection, found, archive)
        server = _server(connection, found, settings)
        given = {"COVEY_CLUSTER": settings.cluster, "COVEY_NATS_SERVER": server}
        there = _with_files(connection, found, argv)
        if names := os.environ.get("COVEY_HOSTS"):
            given["COVEY_HOSTS"] = names
        line = words(
            [
                *("exec", "env", "-u", "COVEY_HEAD"),
                *(f"{name}={value}" for name, value in given.items()),
                *(found.executable, "-P", f"{found.cache}/{archive.name}", *there),
            ]
        )
        is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return connection.passthrough(line, tty=is_terminal)
    finally:
        reach.close()


def _server(connection: Connection, found: Probe, settings: Settings) -> str:
    """Where nats-server is there: a copy of ours, else its own.

    Raises:
        ServerMissing: neither.
    """
    ours = f"{platform.system()} {platform.machine()}".lower()
    if found.platform == ours:
        data = find_server(settings.nats_server).read_bytes()
        name = f"nats-server-{hashlib.sha256(data).hexdigest()[: archives.NAME_DIGITS]}"
        path = f"{found.cache}/{name}"
        test = words(["exec", "test", "-x", path])
        if connection.run(test, timeout_s=LOOK_MAX_S).code:
            bootstrap.send_file(connection, found, name, data)
            connection.run(words(["exec", "chmod", "700", path]), timeout_s=LOOK_MAX_S)
        return path
    done = connection.run(script("command -v nats-server"), timeout_s=LOOK_MAX_S)
    lines = done.out.decode(errors="replace").split()
    if done.code or not lines:
        raise ServerMissing(
            f"{connection.host.name} is {found.platform}, this is {ours}: its nats-server must be"
            " there, in PATH"
        )
    return lines[-1]


def _with_files(connection: Connection, found: Probe, argv: Sequence[str]) -> list[str]:
    """The command line, with lists of machines of this side sent along and named as there."""
    there: list[str] = []
    words_left = iter(argv)
    names_any = False
    for word in words_left:
        option, is_joined, value = word.partition("=")
        if option not in _FILE_OPTIONS or (is_joined and option == "-H"):
            there.append(word)
            continue
        path = value if is_joined else next(words_left, "")
        there += ["-H", _sent(connection, found, path)]
        names_any = True
    if not _names_machines(argv[1:]) and not names_any and not os.environ.get("COVEY_HOSTS"):
        there += _with_config(connection, found)
    if (users := read_users()) is not None:
        there += ["--users", json.dumps(users.to_wire())]
    return there


def _names_machines(argv: Sequence[str]) -> bool:
    """Whether a command line of `up` says which machines, without its lists."""
    before = ""
    for word in argv:
        if word.partition("=")[0] == "--local":
            return True
        if not word.startswith("-") and before not in _VALUE_OPTIONS:
            return True
        before = word
    return False


def _with_config(connection: Connection, found: Probe) -> list[str]:
    """Nothing is named: the machines of covey.toml here, if there is one that names any."""
    source = read_config().source
    for path, shown in config_places(os.environ):
        if source and shown == source:
            return ["-H", _sent(connection, found, str(path))]
    return []


def _sent(connection: Connection, found: Probe, name: str) -> str:
    """The path there of a list of machines."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from error
    # Its ending says in which form it is.
    ending = Path(name).suffix if name != "-" else ".txt"
    there = f"hosts-{hashlib.sha256(data).hexdigest()[: archives.NAME_DIGITS]}{ending}"
    bootstrap.send_file(connection, found, there, data)
    return f"{found.cache}/{there}"
