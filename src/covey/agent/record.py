"""`agent.json`: which process is the agent of a machine over ssh, and where its sockets are."""

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from covey.agent import here
from covey.agent.machine import known
from covey.bus.record import start_time, write_private

NAME = "agent.json"


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """A running agent. A home may be shared, so it says on which computer, since which boot."""

    agent: str
    #: `here.this_computer` of that computer; another boot is another computer.
    computer: str
    hostname: str
    pid: int
    #: Start time of the process, in clock ticks since boot.
    started: int
    incarnation: str
    runtime_dir: str
    # Another version of covey may have written it, and left out any of these.
    archive: str = ""
    version: str = ""
    python: str = ""
    slots: int = 0
    slots_from: str = ""
    workdir: str = ""
    #: Digest of its key: with another it can never speak to its head.
    key_digest: str = ""
    is_persistent: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it was started on this computer since its last boot."""
        ours = here.this_computer()
        # The name of a computer may change under an agent; its sockets' directory is local.
        return self.computer == ours or (
            self.computer.split()[1:] == ours.split()[1:] and Path(self.runtime_dir).is_dir()
        )

    @property
    def is_alive(self) -> bool:
        """Whether it runs, on this computer."""
        return self.is_here and start_time(self.pid) == self.started


def digest_of_key(key: str) -> str:
    """Tells keys apart and says nothing about them."""
    return hashlib.sha256(b"covey agent key\0" + bytes.fromhex(key)).hexdigest()[:16]


def write(path: Path, record: AgentRecord) -> None:
    """Write it, replacing any.

    Raises:
        OSError: it cannot be written.
    """
    write_private(path, json.dumps(asdict(record)) + "\n")


def read(path: Path) -> AgentRecord | None:
    """The record there; None: no file, or not one of ours."""
    try:
        return AgentRecord(**known(json.loads(path.read_text()), AgentRecord))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def forget(path: Path, incarnation: str) -> None:
    """Remove the record of this very agent."""
    record = read(path)
    if record is not None and record.incarnation == incarnation:
        with contextlib.suppress(OSError):
            path.unlink()
