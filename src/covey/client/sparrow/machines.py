"""Where `covey sparrow` runs: virtual machines of its own, or the cluster that is up.

Virtual machines are one root process each (`client.private`); the first one keeps the bus server.
All end with this process, however it ends.
"""

import asyncio
import secrets
from typing import Protocol

from covey.agent.order import BusOrder
from covey.bus.config import AGENT_PREFIX
from covey.client.address import BusAddress
from covey.client.cluster import files_of
from covey.client.private import PrivateRoot
from covey.errors import NotUp, StartFailed
from covey.scheduler.member import Member
from covey.settings import Settings

#: Most virtual machines of one call: each is some four processes.
MACHINES_MAX = 200
#: Most slots of one of them: a child process each.
SLOTS_MAX = 64
#: All virtual machines have to be ready within this time, and this much for each of them.
READY_MAX_S = 30.0
READY_EACH_S = 1.0


class Machines(Protocol):
    """Agents that schedulers can be put before."""

    address: BusAddress
    #: Name under which the subjects of the bus lie.
    space: str
    #: Whether tasks run on this computer, under this very Python.
    is_here: bool

    async def start(self) -> None:
        """Have them all there."""
        ...

    def members(self) -> dict[str, Member]:
        """The agents."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class VirtualMachines:
    """`count` agents on this computer, private to this process."""

    is_here = True

    def __init__(self, settings: Settings, count: int, slots: int) -> None:
        self._names = [f"local{number}" for number in range(1, count + 1)]
        self._settings = settings
        self._slots = slots
        self._roots: dict[str, PrivateRoot] = {}
        self._serving: set[str] = set()
        self._changed = asyncio.Event()
        self._dead = ""
        self.space = settings.cluster
        self.address = BusAddress("", "", "")

    async def start(self) -> None:
        """Start them all; returns when each listens.

        Raises:
            CoveyError: one cannot be started, or not in time.
        """
        first, *others = self._names
        passwords = {name: secrets.token_urlsafe(24) for name in others}
        root = self._root(first, guests=tuple(passwords.items()))
        self.address, self.space = await root.ready(), root.space
        self._watch(first)
        for name in others:
            login = (AGENT_PREFIX + name, passwords[name])
            is_ours = self.address.is_ours
            bus = BusOrder(self.address.url, *login, is_ours=is_ours) if is_ours else None
            self._root(name, bus=bus)
            self._watch(name)
        limit_s = READY_MAX_S + READY_EACH_S * len(self._names)
        try:
            async with asyncio.timeout(limit_s):
                while len(self._serving) < len(self._names):
                    self._changed.clear()
                    await self._changed.wait()
                    if self._dead:
                        raise StartFailed(f"the virtual machine {self._dead} ended as it started")
        except TimeoutError:
            raise StartFailed(
                f"{len(self._serving)} of {len(self._names)} virtual machines were ready after"
                f" {limit_s:.0f} s. Start fewer: --machines"
            ) from None

    def members(self) -> dict[str, Member]:
        """The agents."""
        return {name: Member(root.key) for name, root in self._roots.items()}

    def close(self) -> None:
        """End them all at once, then wait for each."""
        for root in self._roots.values():
            root.let_go()
        for root in self._roots.values():
            root.close()

    def _root(
        self,
        name: str,
        *,
        guests: tuple[tuple[str, str], ...] = (),
        bus: BusOrder | None = None,
    ) -> PrivateRoot:
        root = PrivateRoot(
            self._settings,
            slots=self._slots,
            slots_from="--slots",
            agent=name,
            guests=guests,
            bus=bus,
        )
        if self._roots:
            root.space = self.space
        self._roots[name] = root
        root.start()
        return root

    def _watch(self, name: str) -> None:
        def on_serving() -> None:
            self._serving.add(name)
            self._changed.set()

        def on_end() -> None:
            if name not in self._serving:
                self._dead = name
            self._changed.set()

        self._roots[name].watch(on_serving, on_end)


class ClusterMachines:
    """The machines of the cluster that is up."""

    is_here = False

    def __init__(self, settings: Settings) -> None:
        """settings: of the cluster.

        Raises:
            NotUp: it has no machines.
        """
        self._files = files_of(settings)
        self._settings = settings
        if not self._files.machines():
            raise NotUp(f"cluster {settings.cluster} has no machines", cluster=settings.cluster)
        self.address = self._files.address()
        self.space = self._files.space(settings.cluster)

    async def start(self) -> None:
        """They run already."""

    def members(self) -> dict[str, Member]:
        """The agents that take work."""
        every = self._files.members()
        return {name: member for name, member in every.items() if not member.is_draining}

    def close(self) -> None:
        """They stay."""
