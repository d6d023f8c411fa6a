"""Ends of tunnels as ssh makes them: a unix socket or a loopback port that leads to a server."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from covey.bus.config import ServerTls
from covey.testing.waiting import COMMAND_MAX_S


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class _Tunnel:
    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or the tunnel does."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        pumps = [asyncio.ensure_future(_pump(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            # First the sockets: the tunnel may end, and cancel this task, while it waits below.
            for end in (writer, back):
                end.transport.abort()
            for pump in pumps:
                pump.cancel()
            self._tasks.discard(task)
            await asyncio.wait(pumps)

    async def end(self) -> None:
        """All connections are cut."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def tunnel(path: Path, port: int) -> AsyncGenerator[None]:
    """`path` leads to 127.0.0.1:`port` inside; its file stays afterwards, as that of a dead ssh."""
    carrier = _Tunnel(port)
    server = await asyncio.start_unix_server(carrier.carry, str(path))
    try:
        yield
    finally:
        server.close()
        await carrier.end()


def make_authority(
    directory: Path, name: str = "covey-bus", days: int = 2
) -> tuple[str, ServerTls]:
    """PEM of a new authority, and a server's certificate by it, made out to `name`.

    days: for so long the certificate is valid; -1 = until yesterday.
    """
    directory.mkdir(exist_ok=True)
    (directory / "names").write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    steps = [
        ["req", "-x509", *new_key, "-days", "2", "-subj", "/CN=covey", "-out", "ca.pem"],
        ["req", *new_key, "-subj", f"/CN={name}", "-out", "asked.pem"],
        ["x509", "-req", "-in", "asked.pem", "-days", str(days), "-out", "cert.pem"],
    ]
    steps[0] += ["-keyout", "ca.key"]
    steps[1] += ["-keyout", "key.pem"]
    steps[2] += ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    for arguments in steps:
        subprocess.run(
            ["openssl", *arguments],
            cwd=directory,
            check=True,
            capture_output=True,
            timeout=COMMAND_MAX_S,
        )
    return (directory / "ca.pem").read_text(), ServerTls(
        directory / "cert.pem", directory / "key.pem"
    )
