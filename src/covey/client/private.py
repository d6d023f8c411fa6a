"""A private run: one root process for this call (agent, bus server and children below it).

The client holds one end of a lifeline; when it breaks, by whatever death of the client, the root
stops its children and removes what it made (protocol.md rule 31). When the root dies first,
`restart` puts another in its place under the same address and keys.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from covey.agent import runtime
from covey.agent.order import BusOrder, ServerOrder, StartOrder, order_to_line
from covey.bus.binary import find_server
from covey.bus.config import ACCOUNT_USER
from covey.client.address import AGENT, SPACE_NAME_MAX, BusAddress
from covey.client.program import python_command
from covey.errors import StartFailed
from covey.settings import START_MAX_S, Settings
from covey.wire.signing import KEY_BYTES

#: After the lifeline is closed, the root has this long to clean up before it is killed.
CLOSE_MAX_S = 5.0


class PrivateRoot:
    """The root process. `start` returns at once; `ready` waits for it. One event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        slots: int,
        slots_from: str,
        run_lock_fd: int = -1,
        agent: str = AGENT,
        guests: tuple[tuple[str, str], ...] = (),
        bus: BusOrder | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            settings: of the call.
            slots: tasks at once.
            slots_from: where that number comes from, for people.
            run_lock_fd: the lock of a private run, held by the root.
            agent: its name.
            guests: (name, password) of other agents that use the bus of this root.
            bus: that of another root, which this one comes to as a guest.
        """
        self._settings = settings
        self._agent = agent
        self._guests = guests
        self._bus = bus
        self._slots = slots
        self._slots_from = slots_from
        self._run_lock_fd = run_lock_fd
        #: Where the program was when it started the first root: there the next one works, too.
        self._workdir = ""
        self._server: ServerOrder | None = None
        #: The name under which our subjects lie: on a bus of others, one that nobody else has.
        self.space = settings.cluster
        if settings.nats_url:
            self.space = f"{settings.cluster[:SPACE_NAME_MAX]}-{secrets.token_hex(8)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        #: The agent's HMAC key.
        self.key = secrets.token_bytes(KEY_BYTES)
        self.address: BusAddress | None = None
        #: Why the last root could not go on, if it said so.
        self.complaint = ""

    @property
    def pid(self) -> int:
        """Process id of the root."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the root process.

        Raises:
            ServerMissing: there is no nats-server.
            StartFailed: the process cannot be started.
        """
        runtime.sweep()
        url = self._settings.nats_url
        if self._server is None and self._bus is None and not url:
            binary = find_server(self._settings.nats_server, state_dir=runtime.base_dir())
            password, agent_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
            self._server = ServerOrder(str(binary), password, agent_password, guests=self._guests)
        self._workdir = self._workdir or str(Path.cwd())
        incarnation = secrets.token_hex(16)
        try:
            made = runtime.create(incarnation)
        except OSError as error:
            raise StartFailed(f"no room to work in: {error}", what="root") from error
        locks = [made.lock_fd] + ([self._run_lock_fd] if self._run_lock_fd >= 0 else [])
        order = StartOrder(
            cluster=self.space,
            agent=self._agent,
            key=self.key.hex(),
            incarnation=incarnation,
            slots=self._slots,
            slots_from=self._slots_from,
            workdir=self._workdir,
            runtime_dir=str(made.path),
            # The user's bus: one credential, in the address.
            bus=BusOrder(url, "", "", is_ours=False) if url else self._bus,
            server=self._server,
            lock_fds=tuple(locks),
        )
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                python_command("covey.agent", "--lifeline", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *locks],
                # No terminal signal may reach it: it ends with its lifeline.
                start_new_session=True,
                env={**os.environ, "COVEY_OWNER": incarnation},
            )
        except Exception as error:
            ours.close()
            runtime.remove(made.path)
            made.release()
            if isinstance(error, OSError):
                raise StartFailed(f"no process could be started: {error}", what="root") from error
            raise
        finally:
            theirs.close()
        made.release()
        self._lifeline = ours
        # If it died already, whoever waits for it is told.
        with contextlib.suppress(ConnectionError):
            ours.sendall(order_to_line(order))
        ours.setblocking(False)

    async def ready(self) -> BusAddress:
        """Wait until the bus answers.

        Raises:
            StartFailed: the root ended, or did not say so in time.
        """
        # Here, so that the root is started before we import what it imports meanwhile.
        import asyncio

        assert self._lifeline is not None
        if self._settings.nats_url:
            self.address = BusAddress(self._settings.nats_url, "", "", is_ours=False)
            return self.address
        assert self._server is not None
        loop = asyncio.get_running_loop()
        line = b""
        try:
            async with asyncio.timeout(START_MAX_S):
                while not line.endswith(b"\n"):
                    # Byte for byte: what is said next belongs to `watch`.
                    piece = await loop.sock_recv(self._lifeline, 1)
                    if not piece:
                        raise StartFailed("the process of the private run ended at once")
                    line += piece
        except ConnectionError:
            raise StartFailed("the process of the private run was killed as it started") from None
        except TimeoutError:
            raise StartFailed(f"the private run was not ready after {START_MAX_S:.0f} s") from None
        word = json.loads(line)
        if "error" in word:
            raise StartFailed(word["error"][1], what="root", reason=word["error"][0])
        # A successor takes the same port, so that everybody finds it again.
        self._server = replace(self._server, port=int(word["url"].rpartition(":")[2]))
        self.address = BusAddress(word["url"], ACCOUNT_USER, self._server.password)
        return self.address

    def watch(self, on_serving: Callable[[], None], on_end: Callable[[], None]) -> None:
        """Call `on_serving` when the agent listens, `on_end` once when the root dies before us."""
        import asyncio

        lifeline = self._lifeline
        assert lifeline is not None
        loop = asyncio.get_running_loop()

        def readable() -> None:
            try:
                said = lifeline.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if b'"serving"' in said:
                on_serving()
            elif said:
                self._note_complaint(said)
            if not said:
                loop.remove_reader(lifeline.fileno())
                on_end()

        loop.add_reader(lifeline.fileno(), readable)

    def _note_complaint(self, said: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
            self.complaint = str(json.loads(said.splitlines()[0])["error"][1])

    def restart(self) -> None:
        """Put a new root in the place of one that died."""
        self._part()
        self.start()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's root. Held here, the lifeline would not
        break.
        """
        if self._lifeline is not None:
            os.close(self._lifeline.detach())
        if self._process is not None:
            # It is no child of ours: nothing may wait for it, or warn that nobody did.
            self._process.returncode = 0
        self._lifeline = self._process = None

    def let_go(self) -> None:
        """Have the root end, without waiting for it."""
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None

    def close(self) -> None:
        """End the root and wait until it has cleaned up. Blocks for at most CLOSE_MAX_S."""
        self._part()

    def _part(self) -> None:
        self.let_go()
        process = self._process
        if process is None:
            return
        try:
            process.wait(CLOSE_MAX_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None
        # Of our root if it was killed, and of others that ended badly since we began.
        runtime.sweep()
