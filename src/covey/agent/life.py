"""The asyncio life of an agent, from its bus connection to its end."""

import asyncio
import logging
import os
import random
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from covey.agent.here import this_computer
from covey.agent.order import BusOrder, StartOrder
from covey.agent.service import AgentService, Place
from covey.agent.slots import Slots
from covey.agent.upkeep import keep_watch
from covey.bus.config import AGENT_PREFIX
from covey.bus.loop import run_loop
from covey.bus.nats import NatsBus
from covey.core.agent import AgentCore
from covey.errors import CoveyError

log = logging.getLogger(__name__)

Say = Callable[[dict[str, Any]], None]


def live(
    order: StartOrder,
    *,
    url: str,
    zygote: tuple[int, socket.socket],
    lifeline: socket.socket | None,
    server_pid: int,
    on_server_death: Callable[[], int],
    say: Say,
    facts: dict[str, Any],
) -> int:
    """Run the loop until the end; returns the exit status of the process."""
    life = _Life(order, url, zygote, say, facts)
    return run_loop(life.run(lifeline, server_pid, on_server_death))


class _Life:
    def __init__(
        self,
        order: StartOrder,
        url: str,
        zygote: tuple[int, socket.socket],
        say: Say,
        facts: dict[str, Any],
    ) -> None:
        self._order = order
        self._url = url
        self._zygote = zygote
        self._say = say
        self._facts = facts
        self._end = asyncio.Event()

    async def run(
        self,
        lifeline: socket.socket | None,
        server_pid: int,
        on_server_death: Callable[[], int],
    ) -> int:
        order = self._order
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end.set)
        if lifeline is not None:
            loop.add_reader(lifeline.fileno(), self._hear, lifeline)
        if server_pid:
            self._watch(server_pid, on_server_death)
        if self._url:
            self._say({"ready": True, "url": self._url})
        bus_order = order.bus
        if bus_order is None:
            assert order.server is not None
            bus_order = BusOrder(self._url, AGENT_PREFIX + order.agent, order.server.agent_password)
        if (bus := await self._meet(bus_order)) is None:
            return 0
        service = await self._serve(bus)
        if not order.may_wait:
            # Whoever started us may open a session now, and need not wait for its next try.
            self._say({"ready": True} if lifeline is None else {"serving": True})
        watch = loop.create_task(keep_watch(order, lambda: bus.is_up, self._end))
        leaving = loop.create_task(service.left())
        ending = loop.create_task(self._end.wait())
        await asyncio.wait({leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, ending, watch):
            task.cancel()
        await service.close()
        await bus.close()
        return 0

    async def _meet(self, bus_order: BusOrder) -> NatsBus | None:
        """The bus, as soon as it is there; None: the end came before it.

        Raises:
            BusUnavailable: it is not there, and we may not wait.
        """
        order = self._order
        loop = asyncio.get_running_loop()
        meeting = loop.create_task(
            NatsBus.connect(
                bus_order.url,
                user=bus_order.user,
                password=bus_order.password,
                name=f"agent {order.agent}",
                is_ours=bus_order.is_ours,
                ca=bus_order.ca,
                may_wait=order.may_wait,
            )
        )
        watch = loop.create_task(keep_watch(order, lambda: False, self._end))
        ending = loop.create_task(self._end.wait())
        await asyncio.wait({meeting, ending}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        ending.cancel()
        if meeting.done():
            return meeting.result()
        meeting.cancel()
        return None

    async def _serve(self, bus: NatsBus) -> AgentService:
        order = self._order
        runtime_dir = Path(order.runtime_dir)
        core = AgentCore(
            order.agent, order.incarnation, order.slots, random.Random(secrets.randbits(128))
        )
        services: list[AgentService] = []
        slots = Slots(
            self._zygote[1],
            order.slots,
            runtime_dir,
            order.incarnation,
            lambda ended, ids, reports: services[0].on_ended(ended, ids, reports),
        )
        here = this_computer() if order.is_here else ""
        workdir = Path(order.workdir)
        cache = order.cache_dir
        place = Place(order.cluster, order.agent, workdir, runtime_dir, self._facts, here, cache)
        service = AgentService(
            bus=bus, place=place, core=core, key=bytes.fromhex(order.key), slots=slots
        )
        services.append(service)
        await service.start()
        return service

    def _hear(self, lifeline: socket.socket) -> None:
        """Nothing is said on the lifeline after the order: it ends when the client does."""
        try:
            said = lifeline.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            # The client died without having read all that we said.
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(lifeline.fileno())
            self._end.set()

    def _watch(self, pid: int, on_death: Callable[[], int]) -> None:
        loop = asyncio.get_running_loop()
        fd = os.pidfd_open(pid)

        def died() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            if self._end.is_set():
                return
            log.error("the bus server died; it is started again")
            try:
                pid = on_death()
            except CoveyError as error:
                # Without a bus nobody can reach us: whoever started us may start another.
                log.error("%s", error)
                self._end.set()
            else:
                self._watch(pid, on_death)

        loop.add_reader(fd, died)
