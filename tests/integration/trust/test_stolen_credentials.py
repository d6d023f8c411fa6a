"""A stolen credential of one agent: it lets nobody submit, read others, or pose as another."""

import json

import pytest
from tests.integration.trust.thief import SPACE, counted, forged, happens, run, thief

from covey.bus.nats import NatsBus
from covey.client.cluster import HEAD, ClusterFiles
from covey.errors import BusUnavailable
from covey.model.job import JobSpec, Shape
from covey.testing.cluster import Lab
from covey.wire.codec import spec_to_wire
from covey.wire.messages import Frame, Submit
from covey.wire.signing import Context
from covey.wire.subjects import inbox_of_agent, inbox_of_scheduler, to_agent, to_scheduler

pytestmark = pytest.mark.timeout(180)

SUBMIT = Frame(b"", 0, 0, Submit(1, "stolen", spec_to_wire(JobSpec("evil", shapes=(Shape(),)))))


async def jobs(lab: Lab) -> list[object]:
    return json.loads((await run(lab, "jobs", "--json")).stdout)["jobs"]


async def test_it_can_submit_neither_under_its_own_name_nor_under_a_clients(lab: Lab) -> None:
    with lab.cluster(machines=2):
        async with thief(lab, "local1") as stolen:
            await stolen.say(to_scheduler(SPACE, HEAD, "client-1-evil"), forged([SUBMIT]))
            assert stolen.bus.refused == 1
            await stolen.say(to_scheduler(SPACE, HEAD, "local1"), forged([SUBMIT]))
            assert stolen.bus.refused == 1
        await counted(lab, "", "forged", 1)
        assert await jobs(lab) == []


async def test_not_even_with_the_agents_own_key(lab: Lab) -> None:
    with lab.cluster(machines=1):
        files = ClusterFiles(lab.state_dir)
        key, head = files.agent_keys()["local1"], files.head()
        assert head is not None
        context = Context(SPACE, "local1", HEAD, head.term)
        async with thief(lab, "local1") as stolen:
            packets = forged([SUBMIT], context.key(key, "hello", b""))
            await stolen.say(to_scheduler(SPACE, HEAD, "local1"), packets)
        # The head reads it as a word of its agent, and agents do not submit.
        await run(lab, "map", "echo", ":::", "a")
        assert [job["job"] for job in await jobs(lab)] == [1]  # pyright: ignore


async def test_it_can_neither_read_what_others_are_told_nor_pose_as_one_of_them(lab: Lab) -> None:
    inboxes = [
        inbox_of_agent(SPACE, "local2"),
        inbox_of_scheduler(SPACE, HEAD),
        f"covey.{SPACE}.>",
        f"covey.{SPACE}.a.*.*",
        ">",
        "$SYS.>",
    ]
    others = [
        to_scheduler(SPACE, HEAD, "local2"),
        to_agent(SPACE, "local2", HEAD),
        to_agent(SPACE, "local1", HEAD),
        to_agent(SPACE, "local2", "local1"),
    ]
    with lab.cluster(machines=2):
        for inbox in inboxes:
            async with thief(lab, "local1") as stolen:
                with pytest.raises(BusUnavailable, match="does not let us listen"):
                    await stolen.bus.listen(inbox, stolen.hear, _ignore, _ignore)
        async with thief(lab, "local1") as stolen:
            for subject in others:
                await stolen.say(subject, [b"anything"])
            assert stolen.bus.refused == len(others)


def _ignore(_: object) -> None:
    return


async def test_a_machine_that_is_taken_down_takes_its_credential_with_it(lab: Lab) -> None:
    with lab.cluster(machines=2):
        password = ClusterFiles(lab.state_dir).password("local2")
        async with thief(lab, "local2") as stolen:
            await run(lab, "down", "local2")
            from_then_on = stolen.bus
            await _is_refused(lab, password)
            await happens(lambda: not from_then_on.is_up)


async def _is_refused(lab: Lab, password: str) -> None:
    url = ClusterFiles(lab.state_dir).address().url
    with pytest.raises(BusUnavailable, match=r"refus|Authorization"):
        await NatsBus.connect(url, user="agent-local2", password=password)
