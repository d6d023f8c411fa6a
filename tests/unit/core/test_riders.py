"""Where each claim takes one task, what is not urgent rides along; stamps of traced tasks."""

from typing import Any

from tests.unit.core.desk import Desk, Room
from tests.unit.core.office import Office

from covey.core.actions import ForgetJob
from covey.core.roster import RIDE_MAX_S
from covey.model.job import Shape
from covey.wire import messages as m

PURE: dict[str, Any] = {"is_multi_get": False}


def test_the_first_reservation_of_a_shape_says_what_it_is() -> None:
    office = Office()
    agent = office.agent()
    office.job(1, **PURE)
    (order,) = agent.all(m.Enqueue)
    assert order.terms == Shape()
    assert agent.all(m.Describe) == []


def test_that_a_task_is_recorded_and_its_job_over_waits_for_company() -> None:
    office = Office()
    agent = office.agent()
    office.job(1, **PURE)
    office.claim(agent)
    office.finish(agent, [1])
    assert agent.all(m.Recorded) == []
    office.wait(2 * RIDE_MAX_S, alive=(agent,))
    (told,) = agent.all(m.Recorded)
    assert (told.batches, told.closed) == ([1], [1])


def test_jobs_that_claim_several_tasks_are_told_at_once_that_they_are_over() -> None:
    office = Office()
    agent = office.agent()
    office.job(1)
    office.finish(agent, agent.granted())
    assert [message.closed for message in agent.all(m.NoTask) if not message.shape] == [True]


def test_what_waits_for_company_ends_with_the_session() -> None:
    office = Office()
    agent = office.agent()
    office.job(1, **PURE)
    office.claim(agent)
    office.finish(agent, [1])
    office.welcome(agent)
    office.wait(2 * RIDE_MAX_S, alive=(agent,))
    assert agent.all(m.Recorded) == []


def test_an_agent_forgets_a_job_of_which_it_is_told_along_with_records() -> None:
    room = Room()
    desk = Desk(room)
    desk.tell(m.Enqueue(1, 1, 1, False, Shape(), "job", 1.0, False))
    assert desk.last(m.Claim).job == 1
    desk.tell(m.Grant(1, 1, 1, [1], [1]))
    room.end(1)
    desk.tell(m.Recorded([1], [1]))
    assert [forgotten.job for forgotten in room.all(ForgetJob)] == [1]


def test_a_traced_task_knows_when_its_reservation_came_and_was_claimed_and_granted() -> None:
    room = Room(slots=1)
    desk = Desk(room)
    desk.tell(m.Enqueue(1, 1, 1, False, Shape(is_traced=True), "job", 1.0, False))
    queued_at = room.now
    room.now += 0.25
    desk.tell(m.Grant(1, 1, 1, [1], [1]))
    (start,) = room.started
    assert start.stamps == (queued_at, queued_at, queued_at + 0.25)


def test_a_task_that_was_bound_early_was_never_claimed() -> None:
    room = Room(slots=1)
    desk = Desk(room)
    desk.tell(m.Describe(1, 1, Shape(is_traced=True), "job", 1.0, False))
    desk.tell(m.Grant(1, 1, 1, [1], [1]))
    assert room.started[0].stamps == (room.now, 0.0, room.now)


def test_a_task_that_is_not_traced_carries_no_stamps() -> None:
    room = Room(slots=1)
    desk = Desk(room)
    desk.tell(m.Enqueue(1, 1, 1, False, Shape(), "job", 1.0, False))
    desk.tell(m.Grant(1, 1, 1, [1], [1]))
    assert room.started[0].stamps is None


def test_a_reservation_waits_from_its_coming_until_a_slot_is_free() -> None:
    room = Room(slots=1)
    desk = Desk(room)
    traced = Shape(is_traced=True)
    desk.tell(m.Describe(2, 1, traced, "other", 1.0, False))
    desk.tell(m.Grant(2, 1, 1, [1], [1]))
    desk.tell(m.Enqueue(1, 1, 1, False, traced, "job", 1.0, False))
    queued_at = room.now
    room.now += 3.0
    room.end(1)
    desk.tell(m.Grant(1, 1, 1, [1], [1]))
    assert room.started[-1].stamps == (queued_at, queued_at + 3.0, queued_at + 3.0)
