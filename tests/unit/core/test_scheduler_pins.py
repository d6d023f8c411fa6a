"""Tasks that are for certain machines, tasks that take no slot, agents that drain."""

from typing import Any

from tests.unit.core.office import OK, RETURNED, Agent, Office

from covey.core.actions import AgentChanged
from covey.core.candidates import JOINING_MAX_S
from covey.core.credit import ASIDE_PAUSE_S
from covey.core.events import Added, AgentDraining, AgentForgotten, AgentKnown, Opened, Sealed
from covey.core.slots import ASIDE_MAX
from covey.model.job import JobSpec, Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m


def pinned(office: Office, *names: str, slots: int = 0, count: int = 1, **spec: Any) -> None:
    """Job 1 with `count` tasks for these machines."""
    office.tell(Opened(1, JobSpec(shapes=(Shape(slots=slots, machines=names),), **spec)))
    office.tell(Added(1, 1, 1, count))
    office.tell(Sealed(1, count))


def levels(agent: Agent) -> list[int]:
    """Reservations that the agent was told to hold, one after another."""
    return [enqueue.count for enqueue in agent.all(m.Enqueue)]


# ---------------------------------------------------------------- pinned


def test_a_pinned_task_goes_to_its_machine_though_others_are_free() -> None:
    office = Office()
    office.agent("a", slots=8)
    chosen = office.agent("b", slots=1)
    pinned(office, "b", slots=1)
    assert chosen.granted() == [1]


def test_pinned_tasks_leave_reservations_on_their_machines_only() -> None:
    office = Office()
    other = office.agent("a")
    chosen = office.agent("b", slots=1)
    pinned(office, "b", slots=1, count=5)
    assert levels(chosen)
    assert not other.all(m.Enqueue)
    assert not other.granted()


def test_a_pinned_task_waits_for_its_machine_and_says_so() -> None:
    office = Office()
    office.agent("a")
    pinned(office, "b", slots=1)
    assert office.core.explain(1, 1, office.now) == "may run on b only, and b is not known"
    assert office.agent("b").granted() == [1]


def test_with_on_lost_fail_a_task_for_an_unknown_machine_is_lost_at_once() -> None:
    office = Office()
    office.agent("a")
    pinned(office, "b", on_lost="fail")
    assert office.outcomes() == {1: OutcomeState.LOST}


def test_with_on_lost_fail_a_task_is_lost_when_its_machine_falls_silent() -> None:
    office = Office()
    agent = office.agent("a")
    pinned(office, "a", slots=1, count=9, on_lost="fail")
    given = len(agent.granted())
    office.wait(3.5)
    lost = [task for task, state in office.outcomes().items() if state == OutcomeState.LOST]
    assert len(lost) >= 9 - given
    office.wait(3.5)
    assert set(office.outcomes().values()) == {OutcomeState.LOST}
    assert len(office.outcomes()) == 9


def test_with_on_lost_fail_a_machine_that_never_joins_is_given_up() -> None:
    office = Office()
    office.agents["a"] = Agent("a", 1, "a-1")
    office.tell(AgentKnown("a"))
    pinned(office, "a", on_lost="fail")
    office.wait(JOINING_MAX_S - 1)
    assert not office.outcomes()
    office.wait(2)
    assert office.outcomes() == {1: OutcomeState.LOST}


def test_with_on_lost_fail_a_task_for_a_machine_that_is_taken_down_is_lost() -> None:
    office = Office()
    office.agent("a", slots=1, free=0)
    pinned(office, "a", slots=1, on_lost="fail")
    assert not office.outcomes()
    office.tell(AgentForgotten("a"))
    assert office.outcomes() == {1: OutcomeState.LOST}


def test_one_of_two_machines_is_enough() -> None:
    office = Office()
    second = office.agent("b")
    pinned(office, "a", "b", on_lost="fail")
    assert second.granted() == [1]


# ---------------------------------------------------------------- aside of the slots


def test_a_task_without_slots_is_granted_though_no_slot_is_free() -> None:
    office = Office()
    agent = office.agent(slots=1, free=0)
    pinned(office, "a")
    assert agent.granted() == [1]


def test_of_tasks_without_slots_only_so_many_are_out_at_an_agent() -> None:
    office = Office()
    agent = office.agent(slots=1, free=0)
    pinned(office, "a", count=ASIDE_MAX + 3)
    assert len(agent.granted()) == ASIDE_MAX
    assert "run aside of the slots" in office.core.explain(1, ASIDE_MAX + 1, office.now)
    office.finish(agent, [1, 2])
    assert len(agent.granted()) == ASIDE_MAX + 2


def test_tasks_without_slots_of_another_job_go_on_when_some_ended() -> None:
    office = Office()
    agent = office.agent(slots=1, free=0)
    pinned(office, "a", count=ASIDE_MAX)
    spec = JobSpec(shapes=(Shape(slots=0, machines=("a",)),))
    office.tell(Opened(2, spec))
    office.tell(Added(2, 1, 1, 1))
    assert [grant.job for grant in agent.all(m.Grant)] == [1]
    office.finish(agent, [1])
    assert [grant.job for grant in agent.all(m.Grant)] == [1, 2]


def test_an_agent_that_gives_back_what_takes_no_slot_gets_it_again_after_a_pause() -> None:
    office = Office()
    agent = office.agent()
    pinned(office, "a")
    office.finish(agent, [1], RETURNED)
    assert agent.granted() == [1]
    office.wait(ASIDE_PAUSE_S + 0.1)
    assert agent.granted() == [1, 1]


def test_tasks_without_slots_that_may_run_anywhere_are_spread() -> None:
    office = Office()
    agents = [office.agent(name, slots=1, free=0) for name in "abc"]
    office.tell(Opened(1, JobSpec(shapes=(Shape(slots=0),))))
    office.tell(Added(1, 1, 1, 6))
    assert [len(agent.granted()) for agent in agents] == [2, 2, 2]


# ---------------------------------------------------------------- draining


def test_a_draining_agent_gives_back_what_it_has_not_begun_and_gets_no_more() -> None:
    office = Office()
    agent = office.agent("a", slots=1)
    office.job(5)
    office.tell(AgentDraining("a", True))
    assert levels(agent)[-1] == 0
    assert agent.all(m.Withdraw)
    given = agent.granted()
    office.finish(agent, given, free=1)
    office.claim(agent, room=1, free=1)
    assert agent.granted() == given
    assert agent.all(m.NoTask)[-1].closed
    assert office.core.explain(1, 5, office.now) == "no agent is ready (a is draining)"


def test_what_a_draining_agent_gave_back_goes_to_others() -> None:
    office = Office()
    agent = office.agent("a", slots=2)
    office.job(2)
    other = office.agent("b", slots=2)
    office.tell(AgentDraining("a", True))
    office.finish(agent, [2], RETURNED, free=1)
    assert other.granted() == [2]


def test_a_draining_agent_is_reached_by_what_looks_after_it() -> None:
    office = Office()
    agent = office.agent("a")
    office.tell(AgentDraining("a", True))
    pinned(office, "a")
    assert agent.granted() == [1]


def test_an_agent_that_drains_no_more_takes_work_again() -> None:
    office = Office()
    agent = office.agent("a", slots=2)
    office.tell(AgentDraining("a", True))
    office.job(2)
    assert not agent.granted()
    office.tell(AgentDraining("a", False))
    assert agent.granted() == [1, 2]
    assert [change.state for change in office.all(AgentChanged)] == ["ready", "draining", "ready"]


def test_draining_outlives_a_session() -> None:
    office = Office()
    agent = office.agent("a", slots=2)
    office.job(1)
    office.tell(AgentDraining("a", True))
    office.wait(4)
    office.welcome(agent, free=1, running=[[1, 1, [1], [1]]], holds=[[1, 1, 1]])
    assert levels(agent)[-1] == 0
    office.finish(agent, [1], free=2)
    assert office.outcomes() == {1: OK}
