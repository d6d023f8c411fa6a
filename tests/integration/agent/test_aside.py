"""Tasks that take no slot run in children of their own, and leave no more of them than slots."""

from tests.integration.agent.rig import SUCCEEDED, Rig, shell

from covey.agent import proctree
from covey.core.slots import ASIDE_MAX
from covey.testing.waiting import happens

SLOTS = 2


async def test_they_run_while_every_slot_is_busy(rig: Rig) -> None:
    busy = [rig.start(shell("sleep 60"), slot=slot) for slot in range(1, SLOTS + 1)]
    numbers = range(SLOTS + 1, SLOTS + ASIDE_MAX + 1)
    aside = [rig.start(shell("echo $COVEY_CPUS"), slot=slot, slots=0) for slot in numbers]
    for done in aside:
        assert (await rig.over(done)).state is SUCCEEDED
        assert done.report.out == b"1\n"
    assert not any(done.is_over.is_set() for done in busy)
    await happens(lambda: len(proctree.children(rig.zygote.pid)) <= 2 * SLOTS)


async def test_their_children_end_when_there_are_more_than_slots(rig: Rig) -> None:
    numbers = range(SLOTS + 1, SLOTS + ASIDE_MAX + 1)
    for done in [rig.start(shell("true"), slot=slot, slots=0) for slot in numbers]:
        await rig.over(done)
    await happens(lambda: len(rig.children()) <= SLOTS)
