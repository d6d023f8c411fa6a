"""Whoever holds every bus credential but no key: what he says is counted, and nothing runs.

The account's credential may publish and hear everything. So the thief records what the head tells
an agent, makes grants of his own, and says again what was said: in the same session, after it, to
the agent's successor, after the head's restart.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.trust.thief import (
    SPACE,
    Thief,
    counted,
    forged,
    happens,
    numbered,
    run,
    sessions,
    status,
    thief,
)

from covey.client.cluster import HEAD
from covey.model.job import JobSpec, Shape
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until
from covey.wire.codec import spec_to_wire
from covey.wire.messages import Ask, Describe, Frame, Grant, Hello, Stop, Submit
from covey.wire.subjects import to_agent, to_scheduler

pytestmark = pytest.mark.timeout(240)

AGENT = "local1"
TO_AGENT = to_agent(SPACE, AGENT, HEAD)
TO_HEAD = to_scheduler(SPACE, HEAD, "client-1-thief")


def started(lab: Lab) -> list[str]:
    """The items that were started, each as often as it was."""
    path = lab.directory / "started"
    return sorted(path.read_text().split()) if path.exists() else []


async def work(lab: Lab, *items: str) -> None:
    """A job that leaves a line for each start."""
    await run(lab, "map", f"echo {{}} >>{lab.directory}/started", ":::", *items)


async def nothing_new_runs(lab: Lab, before: list[str]) -> None:
    """The cluster is sound: it runs what it is asked for, and has run nothing else."""
    await work(lab, "sound")
    assert started(lab) == sorted([*before, "sound"])


async def recorded(lab: Lab, tap: Thief) -> list[bytes]:
    """What the head told the agent in a session in which tasks ran."""
    await work(lab, "a", "b", "c")
    assert started(lab) == ["a", "b", "c"]
    await happens(lambda: len(sessions(tap.from_(HEAD))) >= 1)
    return tap.from_(HEAD)


def evil(session: bytes) -> list[Frame]:
    """Whatever makes an agent do something, as frames of its session."""
    evil = Grant(1, 1, 1, [1, 2], [1, 1], [5, 5], b"touchtouch")
    words = [Describe(9, 1, Shape()), evil, Grant(9, 1, 1, [1], [1]), Stop(1)]
    frames = [Frame(session, at, 0, word) for at, word in enumerate(words, start=100)]
    return [*frames, Frame(b"", 0, 0, Hello(10**9, 99, "0" * 32))]


async def test_forged_grants_and_controls_are_counted_and_nothing_runs(lab: Lab) -> None:
    with lab.cluster(machines=1):
        async with thief(lab, ear=AGENT) as tap:
            session = sessions(await recorded(lab, tap))[-1]
            count = await tap.say(TO_AGENT, forged(evil(session)))
            await counted(lab, AGENT, "forged", count)
            await nothing_new_runs(lab, ["a", "b", "c"])
        text = (await run(lab, "status")).stdout
        assert f"{count} messages with a wrong signature, not obeyed" in text


async def test_forged_requests_to_the_head_are_counted_and_nothing_is_submitted(lab: Lab) -> None:
    spec = spec_to_wire(JobSpec("evil", shapes=(Shape(),)))
    frames = [
        Frame(b"", 0, 0, Submit(1, "evil", spec)),
        Frame(b"", 0, 0, Ask(2, "drain", {"machines": [AGENT], "on": True})),
    ]
    with lab.cluster(machines=1):
        async with thief(lab) as stolen:
            await stolen.say(TO_HEAD, forged(frames))
            await counted(lab, "", "forged", len(frames))
        await nothing_new_runs(lab, [])
        await asyncio.to_thread(wait_until, lambda: lab.states()[AGENT] == "ready")


async def test_a_session_said_again_is_counted_and_nothing_runs(lab: Lab) -> None:
    with lab.cluster(machines=1):
        async with thief(lab, ear=AGENT) as tap:
            await recorded(lab, tap)
            # Describe, Enqueue or Grant, NoTask, Recorded: the last may come after the job's end.
            await happens(lambda: numbered(tap.from_(HEAD)) >= 4)
            packets = tap.from_(HEAD)
            await tap.say(TO_AGENT, packets)
            await counted(lab, AGENT, "stale", numbered(packets))
            await nothing_new_runs(lab, ["a", "b", "c"])
            assert (await status(lab, AGENT))["forged"] == 0


async def _cut(lab: Lab) -> None:
    await run(lab, "chaos", "cut", AGENT, "--for", "4s")


async def _restart_agent(lab: Lab) -> None:
    assert faults.kill(faults.ClusterParts(lab.state_dir).agent(AGENT))
    await run(lab, "up", "--local", "1", "--slots", "1")


async def _restart_head(lab: Lab) -> None:
    assert faults.kill(faults.ClusterParts(lab.state_dir).head)
    await run(lab, "up", "--local", "1", "--slots", "1")


@pytest.mark.parametrize(
    "renew",
    [_cut, _restart_agent, _restart_head],
    ids=["session", "agent-incarnation", "scheduler-term"],
)
async def test_an_older_one_said_again_is_counted_and_nothing_runs(
    lab: Lab, renew: Callable[[Lab], object]
) -> None:
    with lab.cluster(machines=1):
        async with thief(lab, ear=AGENT) as tap:
            packets = await recorded(lab, tap)
            old = sessions(packets)
            await renew(lab)  # pyright: ignore[reportGeneralTypeIssues]
            await happens(lambda: sessions(tap.from_(HEAD))[-1:] != old[-1:], timeout_s=60)
            await work(lab, "d")
            of_old_session = [p for p in packets if sessions([p])]
            before = await status(lab, AGENT)
            await tap.say(TO_AGENT, packets)
            # Heartbeats among them are old as well: each packet counts.
            await counted(lab, AGENT, "stale", before["stale"] + len(of_old_session))
            await nothing_new_runs(lab, ["a", "b", "c", "d"])
            assert (await status(lab, AGENT))["forged"] == before["forged"]


async def test_requests_of_clients_said_again_submit_nothing_twice(lab: Lab) -> None:
    with lab.cluster(machines=1):
        async with thief(lab, ear="head") as tap:
            await work(lab, "a", "b")
            said = [(name, data) for name, data in tap.heard if name.startswith("client-")]
            assert said
            await _say_all(tap, said)
            await _restart_head(lab)
            before = (await status(lab))["stale"]
            await _say_all(tap, said)
            await counted(lab, "", "stale", before + len(said))
        await nothing_new_runs(lab, ["a", "b"])
        jobs = json.loads((await run(lab, "jobs", "--json")).stdout)["jobs"]
        assert len(jobs) == 2


async def _say_all(tap: Thief, said: list[tuple[str, bytes]]) -> None:
    for name, data in said:
        await tap.say(to_scheduler(SPACE, HEAD, name), [data])
    await asyncio.sleep(0)


def test_what_is_recorded_here_is_what_was_started(tmp_path: Path) -> None:
    """The witness of these tests is a file: it must show a second start."""
    with Lab(tmp_path) as lab:
        for _ in range(2):
            done = lab("map", f"echo {{}} >>{lab.directory}/started", ":::", "a")
            assert done.returncode == 0
        assert started(lab) == ["a", "a"]
