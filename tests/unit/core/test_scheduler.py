"""What a scheduler grants, records and tries again."""

import pytest
from tests.unit.core.office import FAILED, OK, RETURNED, Office

from covey.core.actions import JobEnded, Record, Resolve, Send
from covey.core.credit import UNSTARTED_MAX_S
from covey.core.events import Added, Arrived, Confirm, Opened, Sealed, Shaped, TailAsked
from covey.core.granting import GRANT_MAX
from covey.core.jobs import JOB_TRANSITIONS, Job
from covey.core.outcomes import CONFIRM_DELAY_S
from covey.errors import InternalError, InvalidTransition
from covey.model.job import JobSpec, JobState, RetryPolicy, Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m

# ---------------------------------------------------------------- binding


def test_a_task_that_finds_a_free_slot_is_granted_at_once() -> None:
    office = Office()
    agent = office.agent(slots=2)
    office.job(1)
    assert agent.granted() == [1]
    assert not agent.all(m.Enqueue)


def test_a_shape_is_described_once_before_it_is_mentioned() -> None:
    office = Office()
    agent = office.agent()
    office.job(2, is_sealed=False)
    office.tell(Added(1, 1, 3, 5))
    kinds = [type(message) for message in agent.heard]
    assert kinds.count(m.Describe) == 1
    assert kinds.index(m.Describe) < kinds.index(m.Grant)


def test_more_tasks_than_slots_leave_one_standing_reservation_at_each_agent() -> None:
    office = Office()
    agents = [office.agent(name, slots=2) for name in "abc"]
    office.job(100)
    for agent in agents:
        assert len(agent.granted()) == 2
        assert [(e.count, e.standing) for e in agent.all(m.Enqueue)] == [(1, True)]


def test_fewer_tasks_than_slots_leave_two_reservations_per_task() -> None:
    office = Office()
    agents = [office.agent(name, slots=4, free=0) for name in "abc"]
    office.job(3)
    levels = [e.count for agent in agents for e in agent.all(m.Enqueue)]
    assert sum(levels) == 6
    assert not any(e.standing for agent in agents for e in agent.all(m.Enqueue))


def test_a_claim_is_granted_up_to_its_room() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(100)
    office.claim(agent, room=7)
    assert agent.granted() == [1, 2, 3, 4, 5, 6, 7]


def test_a_grant_has_a_limit_in_tasks_and_in_bytes() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(0, is_sealed=False)
    office.tell(Added(1, 1, 1, 1000, bytes_mean=8192))
    office.claim(agent, room=1000)
    assert len(agent.granted()) == 64
    office.tell(Added(1, 1, 1001, 1000, bytes_mean=10))
    office.claim(agent, room=1000)
    assert len(agent.granted()) == 64 + GRANT_MAX


def test_few_tasks_are_shared_when_several_agents_are_there() -> None:
    office = Office()
    first, second = office.agent("a", free=0), office.agent("b", free=0)
    office.job(10)
    office.claim(first, room=100)
    assert len(first.granted()) == 5
    office.claim(second, room=100)
    assert len(second.granted()) == 3


def test_a_claim_that_finds_nothing_is_kept_as_credit() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(0, is_sealed=False)
    office.claim(agent, room=3)
    assert [(n.shape, n.closed) for n in agent.all(m.NoTask)] == [(1, False)]
    office.tell(Added(1, 1, 1, 5))
    assert agent.granted() == [1, 2, 3]


def test_a_claim_for_a_job_that_is_over_or_unknown_is_closed() -> None:
    office = Office()
    agent = office.agent()
    office.claim(agent)
    assert agent.all(m.NoTask)[-1].closed


def test_the_next_claim_rides_on_finished() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(5)
    office.finish(agent, [1], shape=1, room=2)
    assert agent.granted() == [1, 2, 3]


def test_two_jobs_of_two_shapes_do_not_mix_their_tasks() -> None:
    office = Office()
    agent = office.agent(free=0)
    office.job(0, is_sealed=False)
    office.tell(Shaped(1, 2, Shape(kind="callable")))
    office.tell(Added(1, 1, 1, 2))
    office.tell(Added(1, 2, 3, 2))
    office.claim(agent, room=9, shape=2)
    assert [(g.shape, g.ids) for g in agent.all(m.Grant)] == [(2, [3, 4])]


def test_a_delay_between_starts_paces_the_grants() -> None:
    office = Office()
    agent = office.agent(slots=4)
    office.job(3, start_delay_s=0.5)
    assert agent.granted() == [1]
    office.wait(0.4, alive=(agent,))
    assert agent.granted() == [1]
    office.wait(0.7, alive=(agent,))
    assert agent.granted() == [1, 2, 3]


def test_a_limit_per_agent_bounds_what_is_granted_on_credit() -> None:
    office = Office()
    agent = office.agent(slots=8)
    office.job(8, shapes=(Shape(limit=2),))
    assert agent.granted() == [1, 2]


def test_a_task_of_two_slots_is_granted_where_two_are_free() -> None:
    office = Office()
    small, large = office.agent("a", slots=1), office.agent("b", slots=2)
    office.job(1, shapes=(Shape(slots=2),))
    assert (small.granted(), large.granted()) == ([], [1])


def test_unstarted_tasks_are_asked_back_when_another_agent_asks() -> None:
    office = Office()
    hoarder = office.agent("a", slots=1, free=0)
    office.job(3)
    office.claim(hoarder, room=3)
    other = office.agent("b", slots=1)
    assert not hoarder.all(m.Withdraw)
    office.claim(other, room=1, free=1)
    office.wait(UNSTARTED_MAX_S + 0.01)
    assert len(hoarder.all(m.Withdraw)) == 1
    office.finish(hoarder, [2, 3], RETURNED)
    assert other.granted() == [2]


def test_a_task_behind_those_of_other_schedulers_is_asked_back_once() -> None:
    office = Office()
    crowded = office.agent("a", slots=2)
    office.job(1)
    assert crowded.granted() == [1]
    idle = office.agent("b", slots=2)
    full = m.Heartbeat(facts={"busy": 2, "queued": 1})
    for _ in range(3):
        office.now += 2 * UNSTARTED_MAX_S
        assert crowded.link is not None
        office.tell(Arrived("a", crowded.link.control(full)))
    assert len(crowded.all(m.Withdraw)) == 1
    office.finish(crowded, [1], RETURNED, elapsed_s=0.0)
    assert idle.granted() == [1]


def test_a_returned_task_spends_nothing_and_gets_a_new_attempt() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(starts_max=1))
    for n in range(1, 10):
        office.finish(agent, [1], RETURNED, n=n, free=1)
    assert [grant.ns for grant in agent.all(m.Grant)] == [[n] for n in range(1, 11)]
    assert not office.outcomes()
    assert not office.retried()


# ---------------------------------------------------------------- recording


def test_a_success_is_recorded_told_and_acknowledged_in_that_order() -> None:
    office = Office()
    agent = office.agent()
    office.job(1)
    office.finish(agent, [1], free=2)
    assert office.outcomes() == {1: OK}
    kinds = [type(action) for action in office.done]
    assert kinds.index(Record) < kinds.index(Resolve) < kinds.index(JobEnded)
    assert not agent.all(m.Recorded)
    office.wait(CONFIRM_DELAY_S * 2)
    assert [r.batches for r in agent.all(m.Recorded)] == [[1]]


def test_a_durable_scheduler_acknowledges_only_what_is_confirmed() -> None:
    office = Office(durable=True)
    agent = office.agent()
    office.job(2)
    office.finish(agent, [1])
    office.wait(1.0, alive=(agent,))
    assert not agent.all(m.Recorded)
    office.tell(office.all(Confirm)[-1])
    office.wait(CONFIRM_DELAY_S * 2)
    assert [r.batches for r in agent.all(m.Recorded)] == [[1]]


def test_no_frame_stands_behind_a_barrier() -> None:
    office = Office(durable=True)
    agent = office.agent(slots=1)
    office.job(3, retry=RetryPolicy(starts_max=2))
    agent.batch += 1
    claim = m.Finished(1, 1, 1, [1], [1], [FAILED], 0.1, shape=1, room=1, free=0)
    assert agent.link is not None
    frame = agent.link.send(claim, office.now)[0]
    actions = office.core.handle(Arrived("a", frame), office.now)
    sends = [index for index, action in enumerate(actions) if isinstance(action, Send)]
    others = [index for index, action in enumerate(actions) if not isinstance(action, Send)]
    assert sends
    assert others
    assert max(sends) < min(others)


def test_a_second_success_of_a_task_is_dropped_and_acknowledged() -> None:
    office = Office()
    agent = office.agent()
    office.job(2)
    office.finish(agent, [1])
    office.finish(agent, [1])
    office.wait(CONFIRM_DELAY_S * 2)
    assert office.outcomes() == {1: OK}
    assert agent.all(m.Recorded)[-1].batches == [1, 2]


def test_a_finished_of_an_unknown_job_is_acknowledged() -> None:
    office = Office()
    agent = office.agent()
    office.finish(agent, [1])
    office.wait(CONFIRM_DELAY_S * 2)
    assert agent.all(m.Recorded)
    assert not office.outcomes()


def test_the_job_ends_when_it_is_sealed_and_all_is_recorded() -> None:
    office = Office()
    agent = office.agent()
    office.job(2, is_sealed=False)
    office.finish(agent, [1, 2])
    assert office.states() == []
    office.tell(Sealed(1, 2))
    assert office.states() == ["succeeded"]
    assert agent.all(m.NoTask)[-1] == m.NoTask(1, 0, closed=True)
    assert not office.core.jobs


def test_a_job_without_tasks_succeeds() -> None:
    office = Office()
    office.job(0)
    assert office.states() == ["succeeded"]


# ---------------------------------------------------------------- retries


def test_a_failure_is_tried_again_as_often_as_the_policy_says() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(starts_max=3))
    for n in (1, 2, 3):
        office.finish(agent, [1], FAILED, n=n, free=1)
    assert office.retried() == [1, 1]
    assert office.outcomes() == {1: FAILED}
    assert office.states() == ["failed"]


def test_without_end_a_failure_is_tried_until_it_succeeds() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(starts_max=0))
    for n in range(1, 20):
        office.finish(agent, [1], FAILED, n=n, free=1)
    office.finish(agent, [1], OK, n=20)
    assert office.outcomes() == {1: OK}


def test_a_crash_costs_its_own_task_only() -> None:
    office = Office()
    agent = office.agent(slots=1, free=0)
    office.job(3)
    office.claim(agent, room=3)
    agent.batch += 1
    states = [OK, int(OutcomeState.CRASHED), RETURNED]
    office.say(agent, m.Finished(1, 1, 1, [1, 2, 3], [1, 1, 1], states, 0.1, free=1))
    assert office.outcomes() == {1: OK, 2: OutcomeState.CRASHED}
    assert agent.all(m.Grant)[-1].ids == [3]


# ---------------------------------------------------------------- the rest


def test_following_a_task_reaches_the_agent_that_runs_it() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(2)
    office.tell(TailAsked(1, 1, True))
    office.tell(TailAsked(1, 2, True))
    assert [(t.id, t.on) for t in agent.all(m.Tail)] == [(1, True)]
    office.finish(agent, [1], free=1)
    assert [(t.id, t.on) for t in agent.all(m.Tail)][-1] == (2, True)


def test_the_transition_table_is_complete_for_jobs_that_are_open() -> None:
    job = Job(1, JobSpec(), 1)
    with pytest.raises(InvalidTransition, match="'cancelled' in state running"):
        job.moves("cancelled")
    finals = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    assert {state for state, _ in JOB_TRANSITIONS} == set(JobState) - finals


def test_tasks_of_a_shape_that_was_never_named_are_a_bug() -> None:
    office = Office()
    office.tell(Opened(1, JobSpec()))
    with pytest.raises(InternalError, match="job 1 has no shape 3"):
        office.tell(Added(1, 3, 1, 1))


def test_a_repeated_addition_adds_nothing() -> None:
    office = Office()
    office.job(3, is_sealed=False)
    office.tell(Added(1, 1, 1, 3))
    assert office.core.jobs[1].held == 3


def test_a_task_can_say_why_it_waits() -> None:
    office = Office()
    office.job(3, shapes=(Shape(slots=4),))
    assert office.core.explain(1, 1, office.now) == "no agent is ready (none is known)"
    agent = office.agent(slots=2)
    assert "needs 4 slots" in office.core.explain(1, 1, office.now)
    assert office.core.explain(1, 9, office.now) == "there is no such task"
    assert not agent.granted()


def test_a_task_that_came_back_is_offered_to_where_it_was_again() -> None:
    office = Office()
    agents = [office.agent(name, slots=1) for name in "abcdef"]
    office.job(len(agents))
    (whose,) = [agent for agent in agents if 1 in agent.granted()]
    before = len(whose.all(m.Enqueue))
    # Something of another scheduler took its slot: only the agent will know when that ends.
    office.finish(whose, [1], RETURNED)
    assert [(order.shape, order.count) for order in whose.all(m.Enqueue)[before:]] == [(1, 1)]
    office.claim(whose)
    assert whose.granted() == [1, 1]


def test_few_tasks_do_not_wait_for_the_one_agent_that_still_holds_a_place() -> None:
    office = Office()
    office.job(3, is_sealed=False)
    first, *others = [office.agent(name, slots=1) for name in "abc"]
    # The first to come holds a standing reservation, and is busy as all are.
    assert [agent.granted() for agent in (first, *others)] == [[1], [2], [3]]
    assert [order.standing for order in first.all(m.Enqueue)] == [True]
    office.tell(Added(1, 1, 4, 1))
    assert any(agent.all(m.Enqueue) for agent in others)
