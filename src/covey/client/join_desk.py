"""The desk of a head for machines that come by their own ssh: `command --join-desk`.

    from the machine   {"agent", "computer", "home"}            I am here
    to the machine     {"order": …, "port": …}                  this is your agent, there is the bus
                       {"error": [class, sentence]}             not now, or never
                       {"left": why}                            the cluster has no place for you
    from the machine   {"slots", "slots_from"}                  it runs
                       {"leave": true}                          and goes

One JSON object per line, behind a mark. It stays while the machine does: the end of standard input
is the end of its ssh, and says nothing about the agent. Whoever can start it could read the keys
that it hands out anyway.
"""

import contextlib
import json
import os
import select
import sys
from dataclasses import asdict, replace
from typing import Any

from covey._version import VERSION
from covey.agent.machine import ANSWER_MARK, MachineOrder
from covey.agent.root import harden
from covey.bus.config import AGENT_PREFIX
from covey.bus.record import write_private
from covey.client.client import HeadClient
from covey.client.cluster import JOINED, ClusterFiles, Machine, files_of
from covey.errors import CoveyError, UsageError, VersionMismatch
from covey.settings import NAME_PATTERN, Settings
from covey.wire.messages import PROTOCOL

#: How often it is looked whether the machine is still one of the cluster.
LOOK_EVERY_S = 1.0
#: A line of a machine is no longer.
LINE_MAX_BYTES = 64 * 1024
#: A machine of this name is another one's as long as it was heard of so lately.
_TAKEN_STATES = ("ready", "joining")


def serve(settings: Settings) -> int:
    """Serve one machine until it goes; the exit code."""
    harden()
    try:
        asked = json.loads(sys.stdin.buffer.readline(LINE_MAX_BYTES))
        desk = _Desk(settings, str(asked["agent"]), str(asked["computer"]))
        desk.check(asked)
        _say(desk.admit())
    except CoveyError as error:
        _say({"error": [type(error).__name__, error.message]})
        return 1
    except (ValueError, KeyError, TypeError):
        _say({"error": ["UsageError", f"the head's covey ({VERSION}) does not understand that"]})
        return 1
    desk.stay()
    return 0


def _say(word: dict[str, Any]) -> None:
    try:
        sys.stdout.write(f"\n{ANSWER_MARK}{json.dumps(word)}\n")
        sys.stdout.flush()
    except OSError:
        # Nobody hears it: the end of standard input says so as well.
        return


class _Desk:
    def __init__(self, settings: Settings, agent: str, computer: str) -> None:
        self._settings = settings
        self._files: ClusterFiles = files_of(settings)
        self._agent = agent
        self._computer = computer
        self._key = b""

    def check(self, asked: dict[str, Any]) -> None:
        """Refuse what cannot be.

        Raises:
            VersionMismatch, UsageError: why.
        """
        if asked.get("protocol") != PROTOCOL:
            raise VersionMismatch(
                f"the head is covey {VERSION}, this machine has {asked.get('version')}: install"
                " the same on both"
            )
        if not NAME_PATTERN.match(self._agent):
            raise UsageError(f"{self._agent!r} is no name for a machine: --name NAME")

    def admit(self) -> dict[str, Any]:
        """Make it a machine of the cluster; what its agent needs.

        Raises:
            NotUp: there is no head now.
            UsageError: another machine has the name.
        """
        files, name = self._files, self._agent
        with HeadClient.connect(self._settings) as head:
            known = {machine.name: machine for machine in files.machines()}
            if name in known:
                states = {m["name"]: m["state"] for m in head.ask("status")["machines"]}
                self._check_name(known[name], states.get(name, ""))
            files.make_keys([name])
            files.change_machines(self._added)
            directory = files.machine_dir(name)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(directory / JOINED, json.dumps({"computer": self._computer}) + "\n")
            head.ask("machines")
        self._key = files.agent_key(name)
        return {"order": asdict(self._order()), "port": self._port()}

    def _check_name(self, known: Machine, state: str) -> None:
        if known.kind == "joined" and (self._who() == self._computer or state not in _TAKEN_STATES):
            return
        raise UsageError(
            f"cluster {self._settings.cluster} has a machine {self._agent} already: give this one"
            " another name with --name NAME"
        )

    def _added(self, there: list[Machine]) -> list[Machine]:
        if any(machine.name == self._agent for machine in there):
            return there
        return [*there, Machine(self._agent, 0, "", "", "joined")]

    def _who(self) -> str:
        try:
            text = (self._files.machine_dir(self._agent) / JOINED).read_text()
            return str(json.loads(text)["computer"])
        except (OSError, ValueError, KeyError):
            return ""

    def _order(self) -> MachineOrder:
        files, name, cluster = self._files, self._agent, self._settings.cluster
        address = files.address()
        ours = address.is_ours
        return MachineOrder(
            cluster=cluster,
            space=files.space(cluster),
            agent=name,
            key=self._key.hex(),
            user=AGENT_PREFIX + name if ours else address.user,
            password=files.password(name) if ours else address.password,
            ca=address.ca,
            bus_url="" if ours else address.url,
        )

    def _port(self) -> int:
        address = self._files.address()
        return int(address.url.rpartition(":")[2]) if address.is_ours else 0

    # ------------------------------------------------------------ afterwards

    def stay(self) -> None:
        """Hear what the machine says, and tell it when it is no machine of the cluster any more."""
        rest = b""
        while True:
            if why := self._left():
                _say({"left": why})
                return
            if not select.select([0], [], [], LOOK_EVERY_S)[0]:
                continue
            data = os.read(0, LINE_MAX_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if self._hear(line):
                    return

    def _hear(self, line: bytes) -> bool:
        """Do as it says; whether it goes."""
        try:
            word = json.loads(line)
        except ValueError:
            return False
        if word.get("leave"):
            self._leave()
            _say({"left": "as asked"})
            return True
        if "slots" in word:
            slots, source = int(word["slots"]), str(word.get("slots_from", ""))

            def change(there: list[Machine]) -> list[Machine]:
                return [
                    replace(m, slots=slots, slots_from=source) if m.name == self._agent else m
                    for m in there
                ]

            self._files.change_machines(change)
        return False

    def _leave(self) -> None:
        self._files.change_machines(lambda there: [m for m in there if m.name != self._agent])
        # Without a head, the next one reads it.
        with contextlib.suppress(CoveyError), HeadClient.connect(self._settings) as head:
            head.ask("machines")
        self._files.forget_machine(self._agent)

    def _left(self) -> str:
        """Why it has no place here any more ("" = it has)."""
        machines = {machine.name for machine in self._files.machines()}
        if not machines and not (self._files.dir / "cluster.json").exists():
            return f"cluster {self._settings.cluster} was taken down"
        try:
            is_ours = self._agent in machines and self._files.agent_key(self._agent) == self._key
        except OSError:
            is_ours = False
        return "" if is_ours else "the head took this machine down"
