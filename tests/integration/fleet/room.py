"""Machines over ssh and a covey of one's own: what the tests of `up`, `down` and tunnels share."""

import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.fleet.reach import lab_of

from covey.agent import proctree
from covey.client.cluster import ClusterFiles, ProcessRecord, RemoteRecord
from covey.testing.cluster import Lab
from covey.testing.machine import Machine
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until

#: For what takes seconds on an idle computer.
LONG_S = 100.0


@dataclass(frozen=True)
class Room:
    """A covey (`lab`) and the machines that it can reach."""

    lab: Lab
    fleet: Fleet

    @property
    def files(self) -> ClusterFiles:
        return ClusterFiles(self.lab.state_dir)

    def machine(self, name: str) -> Machine:
        return self.fleet[name]

    def up(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`covey up`: how it went with each machine."""
        done = self.lab("up", *words, "--json")
        assert done.returncode == code, (done.stdout, done.stderr)
        return {machine["name"]: machine for machine in json.loads(done.stdout)["machines"]}

    def head(self) -> ProcessRecord:
        record = self.files.head()
        assert record is not None
        assert record.is_alive
        return record

    def remote(self, name: str) -> RemoteRecord:
        record = self.files.remote(name)
        assert record is not None
        return record

    def tunnel(self, name: str) -> dict[str, Any]:
        """What the head wrote of the tunnel; all zero when there is none."""
        try:
            text = (self.files.machine_dir(name) / "tunnel.json").read_text()
        except FileNotFoundError:
            return {"pid": 0, "n": 0}
        return json.loads(text)

    def agent(self, name: str) -> int:
        """Process id of the agent on a machine."""
        path = self.machine(name).home / ".cache/covey/default" / name / "agent.json"
        pid = int(json.loads(path.read_text())["pid"])
        assert proctree.identify(pid) is not None
        return pid

    def row(self, name: str) -> dict[str, Any]:
        """What `covey status` says of a machine."""
        done = self.lab("status", "--json")
        assert done.returncode in (0, 1), done.stderr
        rows = {row["name"]: row for row in json.loads(done.stdout)["machines"]}
        return rows[name]

    def await_state(self, name: str, state: str, why: str = "") -> None:
        """Wait until `covey status` says so of a machine."""

        def is_so() -> bool:
            row = self.row(name)
            return row["state"] == state and why in row["why"]

        wait_until(is_so, describe=lambda: (self.row(name), self.log()[-1500:]), timeout_s=LONG_S)

    def log(self) -> str:
        return (self.lab.state_dir / "logs" / "head.log").read_text()


@contextmanager
def room_of(
    cache: Path, *pythons: str, count: int = 1, shared_home: bool = False
) -> Generator[Room]:
    """So many machines, and a covey; at the end nothing of it is left on any of them.

    cache: where archives are kept, for several rooms.
    """
    # Short: sockets lie below it.
    directory = Path(tempfile.mkdtemp(prefix="cv-room-", dir="/tmp"))
    with lab_of(*pythons, count=count, shared_home=shared_home) as fleet:
        env = {**fleet.env, "XDG_CACHE_HOME": str(cache), "SSH_AUTH_SOCK": ""}
        try:
            with Lab(directory, env) as lab:
                room = Room(lab, fleet)
                try:
                    yield room
                finally:
                    done = lab("down")
                assert done.returncode == 0, done.stderr
                for machine in fleet.machines.values():
                    wait_until(
                        lambda there=machine: not there.processes(),
                        describe=lambda there=machine: [_words(pid) for pid in there.processes()],
                        timeout_s=LONG_S,
                    )
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "?"
