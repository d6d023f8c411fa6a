"""Jobs that end early: halted by their policy, or cancelled."""

from tests.unit.core.office import CANCELLED, FAILED, OK, Office

from covey.core.actions import JobEnded, Record
from covey.core.closing import STOP_LIMIT_S
from covey.core.events import CancelAsked, Confirm, Tick
from covey.model.job import HaltPolicy
from covey.wire import messages as m

# ---------------------------------------------------------------- halting


def test_halt_soon_lets_what_runs_end_and_starts_nothing_more() -> None:
    office = Office()
    agent = office.agent(slots=2)
    office.job(10, halt=HaltPolicy("soon", "fail", count=1))
    office.finish(agent, [1], FAILED, free=1)
    assert agent.all(m.Withdraw)
    assert not agent.all(m.Stop)
    office.finish(agent, [2], OK)
    outcomes = office.outcomes()
    assert outcomes[2] == OK
    assert [outcomes[task] for task in range(3, 11)] == [CANCELLED] * 8
    assert office.states() == ["cancelling", "failed"]


def test_halt_now_stops_what_runs() -> None:
    office = Office()
    agent = office.agent(slots=2)
    office.job(3, halt=HaltPolicy("now", "fail", count=1))
    office.finish(agent, [1], FAILED)
    assert agent.all(m.Stop)[-1].job == 1
    office.finish(agent, [2], CANCELLED)
    assert office.outcomes() == {1: FAILED, 2: CANCELLED, 3: CANCELLED}


def test_halt_on_success_ends_well() -> None:
    office = Office()
    agent = office.agent(slots=2)
    office.job(3, halt=HaltPolicy("now", "success", count=1))
    office.finish(agent, [1], OK)
    office.finish(agent, [2], CANCELLED)
    assert office.states() == ["cancelling", "succeeded"]


# ---------------------------------------------------------------- cancelling


def test_cancelling_a_job_ends_pending_tasks_and_stops_running_ones() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(3)
    office.tell(CancelAsked(1))
    assert agent.all(m.Stop)
    assert office.outcomes() == {2: CANCELLED, 3: CANCELLED}
    office.finish(agent, [1], OK)
    assert office.outcomes()[1] == OK
    assert office.states() == ["cancelling", "cancelled"]


def test_a_durable_job_is_stopped_only_when_its_cancelling_is_written() -> None:
    office = Office(durable=True)
    agent = office.agent(slots=1)
    office.job(1)
    office.tell(CancelAsked(1))
    assert not agent.all(m.Stop)
    office.tell(office.all(Confirm)[-1])
    assert agent.all(m.Stop)


def test_what_does_not_stop_is_given_up_after_a_while() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1)
    office.tell(CancelAsked(1))
    office.wait(STOP_LIMIT_S + 0.1, alive=(agent,))
    assert office.outcomes() == {1: CANCELLED}
    assert office.states()[-1] == "cancelled"


def test_single_tasks_are_cancelled_waiting_or_running() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(3)
    office.tell(CancelAsked(1, [1, 3, 99]))
    assert office.outcomes() == {3: CANCELLED}
    assert agent.all(m.Stop)[-1].ids == [1]
    office.finish(agent, [1], CANCELLED, free=1)
    assert agent.granted() == [1, 2]
    office.finish(agent, [2], OK)
    assert office.states() == ["succeeded"]


def test_a_stop_that_nobody_asks_for_any_more_makes_no_outcome() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1)
    office.finish(agent, [1], CANCELLED, free=1)
    assert not office.outcomes()
    assert agent.granted() == [1, 1]


def test_a_million_pending_tasks_are_cancelled_turn_by_turn() -> None:
    office = Office()
    office.job(1_000_000)
    actions = office.core.handle(CancelAsked(1), office.now)
    assert sum(len(a.ids) for a in actions if isinstance(a, Record)) == 20_000
    for _ in range(49):
        actions = office.core.handle(Tick(), office.now)
    assert isinstance(actions[-1], JobEnded)
