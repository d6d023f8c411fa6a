"""Each task has a directory of its own, however many come and go beside it."""

from tests.integration.agent.rig import SUCCEEDED, Rig, encode_command, shell

#: Enough for a few collisions of "made" with "removed, it was empty".
TASKS = 250


async def test_directories_that_come_and_go_beside_a_task_do_not_take_its_own_away(
    rig: Rig,
) -> None:
    context = shell("true", cwd="")
    payloads = [encode_command([])] * TASKS
    both = [rig.start(context, payloads, slot=slot, first=slot * 1000) for slot in (1, 2)]
    for done in both:
        await rig.over(done)
        assert set(done.states) == {SUCCEEDED}, [r.err for r in done.reports if r.err][:3]
    assert not list((rig.directory / "work").glob("covey/*"))
