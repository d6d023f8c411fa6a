"""Jobs bind their tasks the way of their policy: early, after probes, or late as in the paper."""

import pytest
from tests.unit.core.office import OK, PURE, RETURNED, Agent, Office, cluster, levels

from covey.core.events import Added, AgentDied, AgentDraining
from covey.core.probing import PROBE_MAX_S
from covey.model.job import RetryPolicy, Shape
from covey.model.policy import BATCH, CHOOSE_TWO, JSQ, LEAST_LOADED, RANDOM
from covey.wire import messages as m


def answer(office: Office, agent: Agent, queued: int) -> None:
    """The agent answers its probe."""
    office.say(agent, m.Load(1, queued, 0))


# ---------------------------------------------------------------- early binding


def test_random_grants_each_task_at_once_wherever_it_falls() -> None:
    office = Office()
    agents = cluster(office, 3, free=0)
    office.job(12, policy=RANDOM)
    assert sum(len(agent.granted()) for agent in agents) == 12
    assert not any(agent.all(m.Enqueue) or agent.all(m.Probe) for agent in agents)


def test_early_binding_looks_at_no_credit() -> None:
    """The idle agent is not favoured: that would be another policy."""
    office = Office()
    idle, busy = office.agent("idle", slots=2), office.agent("busy", slots=2, free=0)
    office.job(40, policy=RANDOM)
    assert min(len(idle.granted()), len(busy.granted())) > 8


def test_batch_probes_d_times_m_agents_and_grants_to_the_m_least_loaded() -> None:
    office = Office()
    agents = cluster(office, 10)
    office.job(2, policy=BATCH)
    probed = [agent for agent in agents if agent.all(m.Probe)]
    assert len(probed) == 4
    assert not any(agent.granted() for agent in agents)
    for load, agent in enumerate(probed):
        answer(office, agent, 9 - load)
    assert [len(agent.granted()) for agent in probed] == [0, 0, 1, 1]


def test_the_shortest_queue_is_found_by_asking_everybody() -> None:
    office = Office()
    agents = cluster(office, 4)
    office.job(1, policy=JSQ)
    for load, agent in zip((3, 1, 2, 4), agents, strict=True):
        answer(office, agent, load)
    assert [len(agent.granted()) for agent in agents] == [0, 1, 0, 0]


def test_an_answer_that_does_not_come_is_not_waited_for_without_end() -> None:
    office = Office()
    agents = cluster(office, 4)
    office.job(1, policy=JSQ)
    answer(office, agents[2], 5)
    office.wait(PROBE_MAX_S, alive=tuple(agents))
    assert agents[2].granted() == [1]


def test_an_agent_that_dies_while_it_is_asked_holds_up_nothing() -> None:
    office = Office()
    agents = cluster(office, 2)
    office.job(2, policy=CHOOSE_TWO)
    answer(office, agents[0], 3)
    office.tell(AgentDied("a1"))
    assert agents[0].granted() == [1, 2]


def test_when_all_that_were_asked_die_others_are_asked() -> None:
    office = Office()
    first = office.agent("a")
    office.job(1, policy=BATCH)
    office.tell(AgentDied("a"))
    assert not first.granted()
    second = office.agent("b")
    answer(office, second, 0)
    assert second.granted() == [1]


def test_tasks_that_come_while_probes_are_out_are_placed_in_the_next_round() -> None:
    office = Office()
    agent = office.agent()
    office.job(0, is_sealed=False, policy=BATCH)
    office.tell(Added(1, 1, 1, 2))
    office.tell(Added(1, 1, 3, 2))
    answer(office, agent, 0)
    assert agent.granted() == [1, 2]
    answer(office, agent, 2)
    assert agent.granted() == [1, 2, 3, 4]


def test_a_dead_agents_early_bound_tasks_are_placed_again() -> None:
    office = Office()
    one, two = cluster(office, 2)
    office.job(20, policy=RANDOM)
    assert one.granted()
    office.tell(AgentDied(one.name))
    assert sorted(two.granted()) == list(range(1, 21))


def test_what_waits_where_it_was_placed_is_not_asked_back() -> None:
    office = Office()
    busy, idle = cluster(office, 2)
    office.job(40, policy=RANDOM)
    office.claim(idle, free=2)
    office.wait(1.0, alive=(busy, idle))
    office.finish(idle, idle.granted(), free=2)
    office.wait(1.0, alive=(busy, idle))
    assert not busy.all(m.Withdraw)


def test_what_waits_at_a_draining_agent_is_asked_back() -> None:
    office = Office()
    agent = office.agent()
    office.job(9, policy=RANDOM)
    office.tell(AgentDraining("a", True))
    assert agent.all(m.Withdraw)


def test_least_loaded_gives_more_to_who_was_quicker() -> None:
    office = Office()
    fast, slow = cluster(office, 2)
    office.job(400, policy=LEAST_LOADED)
    assert len(fast.granted()) == len(slow.granted()) == 4
    for step in range(80):
        agent, took_s = (slow, 0.4) if step % 4 == 3 else (fast, 0.1)
        leases = office.core.jobs[1].leases_of(agent.name)
        office.finish(agent, [leases[0][0]], elapsed_s=took_s)
    assert len(fast.granted()) > 2 * len(slow.granted())


def test_early_bound_tasks_per_slot_have_a_limit() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1000, policy=RANDOM)
    assert len(agent.granted()) == 256
    office.finish(agent, agent.granted()[:100])
    assert len(agent.granted()) == 356


@pytest.mark.parametrize("policy", [RANDOM, LEAST_LOADED])
def test_what_is_less_urgent_keeps_no_urgent_task_of_the_job_from_being_bound(policy: str) -> None:
    office = Office()
    agent = office.agent()
    shapes = (Shape(), Shape(priority=5, may_preempt=True))
    office.job(2000, is_sealed=False, shapes=shapes, policy=policy)
    bound = len(agent.granted())
    assert bound < 2000
    office.tell(Added(1, 2, 2001, 2))
    assert agent.granted()[bound:] == [2001, 2002]
    # Of the urgent ones, too, no more is bound ahead than of any.
    office.tell(Added(1, 2, 2003, 2000))
    assert len(agent.granted()) == 2 * bound


def test_a_job_forgets_what_an_agent_gave_back_behind_a_task_that_lasts() -> None:
    office = Office()
    agent = office.agent()
    office.job(2000, policy=RANDOM)
    for task in range(2, 2001):
        office.finish(agent, [task])
    job = office.core.jobs[1]
    assert list(job.running) == [1]
    assert list(job.holdings[agent.name].leases) == [job.running[1]]


def test_a_task_that_was_preempted_is_placed_again_and_its_start_does_not_count() -> None:
    office = Office()
    agent = office.agent()
    office.job(1, policy=RANDOM, retry=RetryPolicy(starts_max=1, crash_limit=1))
    for n in range(1, 8):
        assert len(agent.granted()) == n
        office.finish(agent, [1], RETURNED, n=n)
    assert not office.outcomes()
    office.finish(agent, [1], n=8)
    assert office.outcomes() == {1: OK}


# ---------------------------------------------------------------- late binding as in the paper


@pytest.mark.parametrize(("ratio", "count"), [(2.0, 10), (1.05, 5), (1.5, 8), (3.0, 15)])
def test_m_tasks_leave_exactly_d_times_m_reservations(ratio: float, count: int) -> None:
    office = Office()
    agents = cluster(office, 20)
    office.job(5, probe_ratio=ratio, **PURE)
    assert sum(levels(agents)) == count
    assert not any(agent.granted() for agent in agents)


def test_reservations_beyond_the_agents_are_spread_evenly() -> None:
    office = Office()
    agents = cluster(office, 3)
    office.job(5, **PURE)
    assert sorted(levels(agents)) == [3, 3, 4]
    assert not any(order.standing for agent in agents for order in agent.all(m.Enqueue))


def test_one_claim_gets_one_task_and_uses_up_one_reservation() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(5, **PURE)
    office.claim(agent)
    assert agent.granted() == [1]
    assert levels([agent]) == [10]
    assert office.core.roster.peers["a"].levels == {(1, 1): 9}


def test_a_claim_that_finds_nothing_leaves_no_credit() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(1, is_sealed=False, has_cancellation=False, **PURE)
    office.claim(agent)
    office.claim(agent)
    assert [(n.shape, n.closed) for n in agent.all(m.NoTask)] == [(1, False)]
    office.tell(Added(1, 1, 2, 1))
    assert agent.granted() == [1]
    assert levels([agent]) == [2]


def test_when_the_last_task_is_granted_reservations_are_taken_back() -> None:
    office = Office()
    agents = cluster(office, 4, free=0)
    office.job(2, **PURE)
    office.claim(agents[0])
    assert levels(agents) == [1, 1, 1, 1]
    office.claim(agents[1])
    assert levels(agents[2:]) == [0, 0]


def test_without_cancellation_they_stay_until_they_ask() -> None:
    office = Office()
    agents = cluster(office, 4, free=0)
    office.job(2, has_cancellation=False, **PURE)
    office.claim(agents[0])
    office.claim(agents[1])
    office.finish(agents[0], [1])
    office.finish(agents[1], [2])
    assert levels(agents[2:]) == [1, 1]
    assert not agents[2].all(m.NoTask)
    office.claim(agents[2])
    assert agents[2].all(m.NoTask)[-1] == m.NoTask(1, 0, closed=True)


def test_reservations_lost_with_their_agent_are_left_elsewhere() -> None:
    office = Office()
    cluster(office, 1, free=0)
    office.job(3, **PURE)
    other = office.agent("b", free=0)
    assert not other.all(m.Enqueue)
    office.tell(AgentDied("a0"))
    assert levels([other]) == [6]


def test_each_new_task_leaves_its_own_reservations() -> None:
    office = Office()
    agents = cluster(office, 8, free=0)
    office.job(0, is_sealed=False, **PURE)
    for first in (1, 2, 3):
        office.tell(Added(1, 1, first, 1))
    assert sum(levels(agents)) == 6


def test_an_automatic_probe_ratio_follows_the_load() -> None:
    office = Office()
    agents = cluster(office, 40, free=2)
    office.job(20, probe_ratio=0, **PURE)
    assert sum(levels(agents)) == 40
    full = Office()
    agents = cluster(full, 40, free=0)
    full.job(20, probe_ratio=0, **PURE)
    assert sum(levels(agents)) == 21


def test_messages_are_counted_by_kind() -> None:
    office = Office()
    agents = cluster(office, 4, free=0)
    office.job(2, **PURE)
    office.claim(agents[0])
    counts = office.core.counts
    assert counts["Enqueue"] == 4
    assert counts["Claim"] == counts["Grant"] == 1
