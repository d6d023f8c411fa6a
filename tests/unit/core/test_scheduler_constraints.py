"""Where tasks may go at all: labels, machines, one per machine; and what shapes share."""

from dataclasses import replace

import pytest
from tests.unit.core.office import PURE, RETURNED, Agent, Office, cluster, levels

from covey.core.events import Added, AgentKnown, Opened, Sealed
from covey.model.job import JobSpec, Shape
from covey.model.policy import BATCH, LEAST_LOADED, RANDOM
from covey.wire import messages as m


def labelled(office: Office, name: str, *labels: str) -> Agent:
    """An agent with labels."""
    agent = Agent(name, 2, f"{name}-1")
    office.agents[name] = agent
    office.tell(AgentKnown(name, labels=labels))
    office.welcome(agent)
    return agent


@pytest.mark.parametrize("policy", ["BATCH+LATE_BINDING", BATCH, RANDOM])
@pytest.mark.parametrize("pure", [True, False])
def test_tasks_go_to_agents_that_fit_only(policy: str, *, pure: bool) -> None:
    office = Office()
    gpu, plain = labelled(office, "gpu1", "gpu"), labelled(office, "lab1", "lab")
    plain.heard.clear()
    spec = JobSpec(policy=policy, is_multi_get=not pure)
    office.tell(Opened(1, replace(spec, shapes=(Shape(labels=("gpu",)),))))
    office.tell(Added(1, 1, 1, 6))
    assert not plain.heard
    assert gpu.granted() or gpu.all(m.Enqueue) or gpu.all(m.Probe)
    office.tell(Opened(2, replace(spec, shapes=(Shape(avoid=("@gpu",)),))))
    gpu.heard.clear()
    office.tell(Added(2, 1, 1, 6))
    assert not gpu.heard


def test_labels_that_change_take_reservations_back() -> None:
    office = Office()
    agent = labelled(office, "m", "gpu")
    office.job(30, shapes=(Shape(labels=("gpu",)),))
    assert levels([agent]) == [1]
    office.tell(AgentKnown("m", labels=()))
    assert levels([agent]) == [0]


def test_tasks_that_spread_are_one_per_agent() -> None:
    office = Office()
    agents = cluster(office, 2)
    office.job(5, shapes=(Shape(is_spread=True),))
    assert [len(agent.granted()) for agent in agents] == [1, 1]
    office.finish(agents[0], agents[0].granted(), free=2)
    assert [len(agent.granted()) for agent in agents] == [2, 1]


def test_early_bound_tasks_that_spread_are_one_per_agent() -> None:
    office = Office()
    agents = cluster(office, 2)
    office.job(5, shapes=(Shape(is_spread=True),), policy=LEAST_LOADED)
    assert [len(agent.granted()) for agent in agents] == [1, 1]


def test_weights_and_one_task_per_claim_reach_the_agent() -> None:
    office = Office()
    agent = office.agent()
    office.job(1, weight=3.0, **PURE)
    told = agent.all(m.Describe) + agent.all(m.Enqueue)
    described = next(message for message in told if message.terms is not None)
    assert (described.weight, described.is_multi_get) == (3.0, False)


def test_small_jobs_take_their_reservations_back_in_any_mode_once_they_are_sealed() -> None:
    office = Office()
    agents = cluster(office, 4, free=0)
    office.job(2, is_sealed=False)
    office.tell(Sealed(1, 2))
    office.claim(agents[0])
    office.claim(agents[1])
    assert levels(agents[2:]) == [0, 0]


@pytest.mark.parametrize("policy", ["BATCH+LATE_BINDING", RANDOM])
def test_what_an_agent_holds_that_leaves_by_itself_goes_elsewhere(policy: str) -> None:
    office = Office()
    leaving = office.agent("a", free=0)
    office.job(2, policy=policy, **PURE)
    office.say(leaving, m.Load(0, 0, 2, is_leaving=True))
    other = office.agent("b", free=0)
    office.finish(leaving, leaving.granted(), RETURNED)
    assert levels([other]) == [4] or sorted(other.granted()) == [1, 2]


def test_an_agent_sampled_for_one_constrained_task_serves_another_that_fits() -> None:
    office = Office()
    agents = cluster(office, 3, free=0)
    shapes = (Shape(machines=("a0", "a1")), Shape(machines=("a1", "a2")))
    office.job(1, is_sealed=False, shapes=shapes, has_cancellation=False, **PURE)
    office.tell(Added(1, 2, 2, 1))
    office.claim(agents[0], shape=1)
    office.claim(agents[1], shape=1)
    assert agents[1].granted() == [2]
    assert agents[1].all(m.NoTask)[-1].shape == 1
    assert not agents[2].granted()


def test_tasks_of_one_machine_do_not_wait_for_those_of_others() -> None:
    office = Office()
    agents = cluster(office, 3)
    shapes = (Shape(machines=("a0", "a1")), Shape(machines=("a2",)))
    office.job(0, is_sealed=False, shapes=shapes, policy=LEAST_LOADED)
    office.tell(Added(1, 1, 1, 100))
    office.tell(Added(1, 2, 101, 2))
    assert agents[2].granted() == [101, 102]
