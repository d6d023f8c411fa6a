"""Start-up, memory and idle cost of covey, and the bare NATS round trip beside its latency."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.commands import scratch

#: Samples of one latency measurement.
LATENCY_SAMPLES = 1000
#: Seconds over which an idle agent's CPU time is counted.
IDLE_S = 10.0

_FIRST_RESULT = """
import covey
with covey.Executor(local=True) as executor:
    assert executor.submit(int, "7").result() == 7
    import time
    print(time.time())
"""

_RESPONDER = """
import asyncio, sys, nats
async def main():
    link = await nats.connect(sys.argv[1])
    async def answer(message):
        await message.respond(b"")
    await link.subscribe("ask", cb=answer)
    await link.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def first_result() -> float:
    """Seconds from the start of Python to the first result of a private executor."""
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_RESULT], capture_output=True, text=True, check=True
    )
    return float(done.stdout) - begun


def help_page() -> float:
    """Seconds that `covey --help` takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "covey", "--help"], capture_output=True, check=True)
    return time.perf_counter() - begun


def bare_python() -> float:
    """Seconds that starting and ending Python takes, to see the two above in proportion."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begun


def nats_round_trip() -> float:
    """Median seconds of a request/reply over a real server to another process."""
    from covey.bus.binary import find_server

    with tempfile.TemporaryDirectory() as directory:
        ports = Path(directory)
        server = subprocess.Popen(
            [str(find_server("")), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", directory],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 10
            while not (files := list(ports.glob("*.ports"))) or not files[0].read_text():
                assert time.monotonic() < until, "nats-server did not start"
                time.sleep(0.01)
            url = json.loads(files[0].read_text())["nats"][0]
            responder = subprocess.Popen(
                [sys.executable, "-c", _RESPONDER, url], stdout=subprocess.PIPE
            )
            try:
                assert responder.stdout is not None
                assert responder.stdout.readline() == b"ready\n"
                return asyncio.run(_round_trips(url))
            finally:
                responder.kill()
                responder.wait()
        finally:
            server.kill()
            server.wait()


async def _round_trips(url: str) -> float:
    import nats

    link = await nats.connect(url)
    took: list[float] = []
    for _ in range(LATENCY_SAMPLES):
        begun = time.perf_counter()
        await link.request("ask", b"", timeout=5)
        took.append(time.perf_counter() - begun)
    await link.close()
    return statistics.median(took)


def map_of(n: int) -> dict[str, float]:
    """Seconds per item, and peak memory of the client, which holds scheduler and ledger."""
    with scratch() as directory:
        items = directory / "items"
        with items.open("w") as stream:
            stream.writelines(f"{i}\n" for i in range(n))
        env = os.environ | {"COVEY_HOME": str(directory / "state")}
        argv = [sys.executable, "-m", "covey", "map", "--here", "true"]
        with items.open("rb") as stream:
            begun = time.perf_counter()
            process = subprocess.Popen(
                argv, stdin=stream, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
            )
            _, status, usage = os.wait4(process.pid, 0)
            took = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"covey map ended with {process.returncode}"
        return {"s_per_item": took / n, "peak_bytes": usage.ru_maxrss * 1024}


def idle_agent() -> dict[str, float]:
    """Memory (PSS) and CPU share of one idle agent and its zygote, under a head."""
    with scratch() as directory:
        env = os.environ | {"COVEY_HOME": str(directory / "state")}
        covey = [sys.executable, "-m", "covey"]
        subprocess.run([*covey, "up", "--local", "1"], env=env, check=True, capture_output=True)
        try:
            subprocess.run([*covey, "map", "true", ":::", "a"], env=env, check=True)
            agents = _agents(str(directory / "state"))
            assert agents, "no agent found"
            before = sum(map(cpu_s, agents))
            time.sleep(IDLE_S)
            share = (sum(map(cpu_s, agents)) - before) / IDLE_S
            return {"pss_bytes": float(sum(map(pss_bytes, agents))), "cpu_share": share}
        finally:
            subprocess.run([*covey, "down"], env=env, check=True, capture_output=True)


def _agents(home: str) -> list[int]:
    """Processes of our state directory whose command line names the agent, and what they forked."""
    mark = f"COVEY_HOME={home}\0".encode()
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
            if b"covey.agent" in command and mark in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
