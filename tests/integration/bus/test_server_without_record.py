"""A server whose starter was killed, at each moment of the start: the next one finds it anyway."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covey.agent import proctree
from covey.bus import lock
from covey.bus.binary import find_server
from covey.bus.config import ServerConfig, account_user
from covey.bus.record import start_time
from covey.bus.server import ServerProcess
from covey.testing.ending import ended, line_of
from covey.testing.waiting import COMMAND_MAX_S, WAIT_MAX_S, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="holders are found in /proc")

#: Starts argv[2] as the server of argv[1], says its pid and waits to be killed.
STARTER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from covey.bus.config import ServerConfig, account_user
    from covey.bus.server import ServerProcess

    config = ServerConfig("test", Path(sys.argv[1]), (account_user("test", "secret"),))
    print(ServerProcess.spawn(Path(sys.argv[2]), config, is_private=False).pid, flush=True)
    input()
    """
)
#: Takes the lock of argv[1] and forks a child that holds it too, as between fork and exec.
FORKER = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from covey.bus import lock

    Path(sys.argv[1]).mkdir()
    lock.take(Path(sys.argv[1]))
    if pid := os.fork():
        print(pid, flush=True)
        input()
    signal.pause()
    """
)
#: Starts a server in argv[1] and is killed at each line of that; a next one follows each time.
EACH_LINE = textwrap.dedent(
    """
    import subprocess, sys
    from pathlib import Path
    from covey.bus import lock, record, server
    from covey.bus.binary import find_server
    from covey.bus.config import ServerConfig, account_user
    from covey.bus.server import ServerProcess
    from covey.testing.dying import each_line

    config = ServerConfig("test", Path(sys.argv[1]), (account_user("test", "secret"),))
    binary = find_server()
    found = 0

    def start():
        ServerProcess.spawn(binary, config, is_private=False)

    def go_on():
        global found
        server = ServerProcess.find(config, 60)
        if server is not None:
            found += 1
            assert server.url
            server.stop()
        assert not lock.is_held(config.directory)

    files = [lock.__file__, record.__file__, server.__file__, subprocess.__file__]
    print(each_line(start, go_on, files), found)
    """
)


@pytest.fixture
def config(tmp_path: Path) -> Generator[ServerConfig]:
    """Of a server in a directory of its own; whoever holds its lock at the end is killed."""
    config = ServerConfig("test", tmp_path / "bus", (account_user("test", "secret"),))
    yield config
    lock.kill_holders(config.directory)


def _killed(program: str, *args: Path) -> int:
    """Run a program until it says a pid, and kill it; the pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        return int(line_of(process))


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_server_that_nobody_wrote_down_is_found_and_ends(config: ServerConfig) -> None:
    pid = _killed(STARTER, config.directory, find_server())
    server = ServerProcess.find(config)
    assert server is not None
    assert server.pid == pid
    assert server.wait_ready() == server.url
    server.stop()
    assert start_time(pid) is None
    assert not lock.is_held(config.directory)


def test_a_server_that_is_still_starting_is_waited_for(
    config: ServerConfig, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = _program(tmp_path / "slow", f'read _ < {gate}\nexec {find_server()} "$@"')
    pid = _killed(STARTER, config.directory, program)
    assert lock.holders(config.directory) == [pid]
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(ServerProcess.find, config, 60.0)
        gate.write_text("go\n")
        server = found.result(WAIT_MAX_S)
    assert server is not None
    assert server.pid == pid
    server.stop()


@pytest.mark.parametrize("program", [STARTER, FORKER], ids=["no server", "not yet a program"])
def test_what_holds_the_lock_and_is_no_server_is_replaced(
    config: ServerConfig, tmp_path: Path, program: str
) -> None:
    pid = _killed(program, config.directory, _program(tmp_path / "sleeper", "exec sleep 600"))
    assert lock.holders(config.directory) == [pid]
    assert ServerProcess.find(config, 0.1) is None
    wait_until(lambda: proctree.identify(pid) is None)
    server = ServerProcess.spawn(find_server(), config, is_private=False)
    try:
        server.wait_ready()
        assert lock.holders(config.directory) == [server.pid]
    finally:
        server.stop()


def test_who_only_looks_at_the_lock_does_not_hold_it(config: ServerConfig) -> None:
    config.directory.mkdir()
    os.close(lock.take(config.directory))
    with (
        (config.directory / "nats-server.lock").open() as file,
        ended(subprocess.Popen(["sleep", "600"], stdin=file)),
    ):
        assert lock.holders(config.directory) == []
        assert ServerProcess.find(config) is None


def test_a_starter_that_is_killed_at_any_line_is_taken_over_or_leaves_nothing(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EACH_LINE, str(tmp_path / "bus")],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == 0, done.stderr
    lines, found = map(int, done.stdout.split())
    assert 0 < found < lines
