"""Machines over ssh: from `covey up` to the first result, beside as many bare `ssh true`.

Real sshd's on loopback stand for machines; all of them share this computer's cores, so ten machines
do ten machines' work here.
"""

import compileall
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from bench.commands import Absent, scratch
from bench.cost import cpu_s, pss_bytes

import covey
from covey.agent import proctree
from covey.testing.sshd import Fleet, Unavailable, fleet

#: Seconds over which an idle agent's CPU time is counted.
IDLE_S = 10.0


@contextmanager
def _room(count: int, *, is_archive_built: bool = True) -> Generator[tuple[Fleet, dict[str, str]]]:
    """So many machines, and the environment of a covey that reaches them; down at the end.

    is_archive_built: what machines are sent is built before anything is measured; else this
    computer has never sent anything.
    """
    # As pip leaves it: no start is to compile what an installed covey has compiled.
    compileall.compile_dir(os.path.dirname(covey.__file__), quiet=2)
    with scratch() as directory:
        try:
            with fleet(count) as machines:
                env = os.environ | machines.env | {"COVEY_HOME": str(directory / "state")}
                if is_archive_built:
                    build = "from covey.fleet import archive; archive.current()"
                    subprocess.run([sys.executable, "-c", build], check=True)
                else:
                    env["XDG_CACHE_HOME"] = str(directory / "cache")
                try:
                    yield machines, env
                finally:
                    _covey(env, "down")
        except Unavailable as missing:
            raise Absent(str(missing)) from missing


def _covey(env: dict[str, str], *words: str) -> float:
    begun = time.perf_counter()
    argv = [sys.executable, "-m", "covey", *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - begun


def cold(count: int) -> float:
    """Seconds from `covey up` to the end of a first `covey map`, on machines without anything."""
    with _room(count) as (machines, env):
        return _covey(env, "up", *machines.names) + _covey(env, "map", "true", ":::", "a")


def first_ever(count: int) -> float:
    """The same as `cold`, by a covey that has never sent anything: it builds its archive."""
    with _room(count, is_archive_built=False) as (machines, env):
        return _covey(env, "up", *machines.names) + _covey(env, "map", "true", ":::", "a")


def live(count: int) -> float:
    """Seconds of a second `covey up`, when all agents are there."""
    with _room(count) as (machines, env):
        _covey(env, "up", *machines.names)
        return _covey(env, "up", *machines.names)


def bare_ssh(count: int) -> float:
    """Seconds of as many `ssh MACHINE true` at the same time."""
    with _room(count) as (machines, _):
        argv = ["ssh", "-F", str(machines.client / "config"), "-o", "BatchMode=yes"]
        begun = time.perf_counter()
        calls = [
            subprocess.Popen([*argv, name, "true"], stdin=subprocess.DEVNULL)
            for name in machines.names
        ]
        codes = [call.wait() for call in calls]
        took = time.perf_counter() - begun
        assert not any(codes), codes
        return took


def status_of(count: int) -> float:
    """Seconds of `covey status` with so many agents on this machine, all of them connected."""
    with scratch() as directory:
        env = os.environ | {"COVEY_HOME": str(directory / "state")}
        try:
            _covey(env, "up", "--local", str(count), "--slots", "1")
            return _covey(env, "status")
        finally:
            _covey(env, "down")


def idle_over_ssh() -> dict[str, float]:
    """Memory (PSS) and CPU share of an idle agent that was started over ssh, with its zygote."""
    with _room(1) as (machines, env):
        _covey(env, "up", *machines.names)
        _covey(env, "map", "true", ":::", "a")
        agents = list(_agents(machines))
        assert agents, "no agent found"
        before = sum(map(cpu_s, agents))
        time.sleep(IDLE_S)
        share = (sum(map(cpu_s, agents)) - before) / IDLE_S
        return {"value": float(sum(map(pss_bytes, agents))), "cpu_share": share}


def _agents(machines: Fleet) -> Iterator[int]:
    for machine in machines.machines.values():
        for path in machine.home.glob(".cache/covey/*/*/agent.json"):
            agent = int(json.loads(path.read_text())["pid"])
            yield from (agent, *proctree.descendants(agent))
