"""Agents that come, fall silent, die, return; and a scheduler that was restarted."""

from tests.unit.core.office import CANCELLED, FAILED, OK, Office

from covey.core.actions import AgentChanged
from covey.core.events import (
    AgentForgotten,
    AgentKnown,
    Arrived,
    BusDown,
    BusUp,
    CancelAsked,
    PeerGone,
    Restored,
)
from covey.core.explaining import away
from covey.core.recovery import RESTORE_AHEAD, RESTORE_WAIT_S
from covey.core.roster import DOUBT_S, ORPHAN_AFTER_S
from covey.model.job import JobSpec, RetryPolicy, Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m


def states(office: Office, name: str = "a") -> list[str]:
    return [change.state for change in office.all(AgentChanged) if change.agent == name]


def a_restored_job(held: int, high_water: int, done: tuple[int, ...] = ()) -> Restored:
    bits = bytearray(held // 8 + 1)
    for task in done:
        bits[task >> 3] |= 1 << (task & 7)
    spec = JobSpec(shapes=(Shape(),))
    return Restored(1, spec, held, held, bits, len(done), 0, 0, False, high_water)


# ---------------------------------------------------------------- sessions


def test_an_agent_is_asked_each_second_until_it_answers() -> None:
    office = Office()
    agent = office.agent()
    office.tell(AgentForgotten("a"))
    agent.heard.clear()
    office.tell(AgentKnown("a"))
    office.wait(2.5)
    assert len(agent.all(m.Hello)) == 3
    office.welcome(agent)
    office.wait(2.5, alive=(agent,))
    assert len(agent.all(m.Hello)) == 3


def test_an_answer_to_another_opening_is_a_ghost() -> None:
    office = Office()
    agent = office.agent()
    office.tell(PeerGone("a"))
    agent.opening -= 1
    office.welcome(agent)
    assert not office.core.roster.peers["a"].is_ready


def test_openings_of_two_terms_are_never_the_same() -> None:
    office = Office()
    agent = office.agent()
    assert agent.opening > 1_000_000


def test_an_agent_of_another_protocol_is_not_used() -> None:
    office = Office()
    agent = office.agent()
    office.tell(PeerGone("a"))
    office.welcome(agent, protocol=99)
    assert states(office)[-1] == "left"


def test_heartbeats_measure_the_round_trip() -> None:
    office = Office()
    agent = office.agent()
    office.perform(office.core.ping_all(office.now))
    nonce = agent.all(m.Heartbeat)[-1].nonce
    office.now += 0.004
    assert agent.link is not None
    office.tell(Arrived("a", agent.link.control(m.Heartbeat(echo=nonce))))
    rtt_s = office.core.roster.peers["a"].rtt_s
    assert rtt_s is not None
    assert abs(rtt_s - 0.004) < 1e-9


# ---------------------------------------------------------------- silence


def test_an_agent_silent_for_3_s_is_unreachable_and_its_task_granted_elsewhere() -> None:
    office = Office()
    silent = office.agent("a", slots=1)
    office.job(1)
    other = office.agent("b")
    office.wait(4.5, alive=(other,))
    assert states(office) == ["ready", "unreachable"]
    assert silent.granted() == other.granted() == [1]


def test_a_task_that_ran_long_is_waited_for_as_long_as_it_ran() -> None:
    office = Office()
    silent = office.agent("a", slots=1)
    office.job(1)
    other = office.agent("b")
    office.wait(20, alive=(silent, other))
    office.wait(15, alive=(other,))
    assert other.granted() == []
    assert office.core.explain(1, 1, office.now) == (
        "granted to a, which is unreachable, silent for 15 s;"
        " the task is granted elsewhere in 5 s unless it comes back"
    )
    office.wait(10, alive=(other,))
    assert other.granted() == [1]


def test_a_job_may_wait_for_its_agent_until_that_is_lost() -> None:
    office = Office()
    office.agent("a", slots=1)
    office.job(1, on_lost="wait")
    other = office.agent("b")
    office.wait(100, alive=(other,))
    assert other.granted() == []
    office.wait(ORPHAN_AFTER_S, alive=(other,))
    assert states(office)[-1] == "lost"
    assert other.granted() == [1]


def test_a_job_may_fail_tasks_of_a_lost_agent() -> None:
    office = Office()
    office.agent("a", slots=1)
    office.job(1, on_lost="fail")
    office.tell(PeerGone("a"))
    assert office.outcomes() == {1: OutcomeState.LOST}


def test_nobody_is_judged_while_our_own_link_is_down() -> None:
    office = Office()
    agent = office.agent()
    office.tell(BusDown())
    office.wait(30)
    office.tell(BusUp())
    office.wait(2.5)
    assert states(office) == ["ready"]
    assert agent.all(m.Heartbeat)


def test_nobody_is_judged_after_our_own_loop_stood_still() -> None:
    office = Office()
    office.agent()
    office.now += 60
    office.wait(2.5)
    assert states(office) == ["ready"]
    office.wait(2)
    assert states(office) == ["ready", "unreachable"]


def test_when_most_agents_fall_silent_at_once_the_fault_is_taken_to_be_here() -> None:
    office = Office()
    agents = [office.agent(name) for name in "abcd"]
    office.wait(6, alive=(agents[0],))
    assert not [c for c in office.all(AgentChanged) if c.state == "unreachable"]
    office.wait(DOUBT_S, alive=(agents[0],))
    silent = [c.agent for c in office.all(AgentChanged) if c.state == "unreachable"]
    assert silent == ["b", "c", "d"]


# ---------------------------------------------------------------- loss and return


def test_a_dead_agents_tasks_are_pending_at_once() -> None:
    office = Office()
    office.agent("a", slots=1)
    office.job(1)
    other = office.agent("b")
    office.tell(PeerGone("a"))
    assert other.granted() == [1]
    assert other.all(m.Grant)[-1].ns == [2]


def test_a_new_incarnation_gives_back_all_attempts_of_the_old_one() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1)
    office.tell(PeerGone("a"))
    office.welcome(agent, incarnation="a-2")
    assert agent.granted() == [1, 1]


def test_a_lost_attempt_is_adopted_when_its_agent_returns() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1)
    office.tell(PeerGone("a"))
    office.welcome(agent, free=0, running=[[1, 1, [1], [1]]])
    office.finish(agent, [1])
    assert agent.granted() == [1]
    assert office.outcomes() == {1: OK}


def test_when_both_run_the_first_success_counts_and_the_other_is_stopped() -> None:
    office = Office()
    first = office.agent("a", slots=1)
    office.job(2)
    second = office.agent("b", slots=1, free=0)
    office.tell(PeerGone("a"))
    office.claim(second, room=1)
    assert second.granted() == [1]
    office.welcome(first, free=0, running=[[1, 1, [1], [1]]])
    assert not first.all(m.Stop)
    office.finish(first, [1])
    assert office.outcomes() == {1: OK}
    assert (second.all(m.Stop)[-1].ids, second.all(m.Stop)[-1].ns) == ([1], [2])
    office.finish(second, [1], n=2)
    assert office.outcomes() == {1: OK}


def test_of_a_superseded_attempt_only_a_success_is_taken() -> None:
    office = Office()
    first = office.agent("a", slots=1)
    office.job(2)
    second = office.agent("b", slots=1, free=0)
    office.tell(PeerGone("a"))
    office.claim(second, room=1)
    office.welcome(first, free=0, running=[[1, 1, [1], [1]]])
    office.finish(first, [1], FAILED)
    assert not office.outcomes()
    office.finish(second, [1], n=2)
    assert office.outcomes() == {1: OK}


def test_what_the_scheduler_does_not_know_is_stopped() -> None:
    office = Office()
    agent = office.agent(free=0, running=[[7, 1, [1], [1]]])
    assert agent.all(m.Stop)[-1].job == 7
    assert agent.all(m.NoTask)[-1] == m.NoTask(7, 0, closed=True)


def test_what_the_agent_does_not_hold_is_pending_again_and_spends_nothing() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, on_lost="wait", retry=RetryPolicy(1, crash_limit=1))
    office.wait(4.5)
    office.welcome(agent)
    assert agent.granted()[-1] == 1
    assert not office.outcomes()


def test_a_task_that_is_lost_too_often_is_poison() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(starts_max=1, crash_limit=3))
    for life in range(2, 5):
        office.tell(PeerGone("a"))
        office.welcome(agent, incarnation=f"a-{life}")
    assert agent.granted() == [1, 1, 1]
    assert office.outcomes() == {1: OutcomeState.LOST}


def test_a_loss_that_was_none_does_not_count_towards_poison() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(crash_limit=2))
    for _ in range(5):
        office.tell(PeerGone("a"))
        office.welcome(agent, free=0, running=[[1, 1, [1], [1]]])
    assert not office.outcomes()


def test_a_cancelled_task_that_comes_back_is_stopped_again() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(2, on_lost="wait")
    office.wait(4.5)
    office.tell(CancelAsked(1, [1]))
    assert not agent.all(m.Stop)
    office.welcome(agent, free=0, running=[[1, 1, [1], [1]]])
    assert agent.all(m.Stop)[-1].ids == [1]
    office.finish(agent, [1], CANCELLED)
    assert office.outcomes() == {1: CANCELLED}


def test_an_agent_that_said_goodbye_gives_its_tasks_back_uncounted() -> None:
    office = Office()
    agent = office.agent(slots=1)
    office.job(1, retry=RetryPolicy(crash_limit=1))
    other = office.agent("b")
    assert agent.link is not None
    office.tell(Arrived("a", agent.link.control(m.Goodbye("a-1", "drained"))))
    assert states(office)[-1] == "left"
    assert other.granted() == [1]


def test_the_successor_of_an_agent_that_left_is_welcome() -> None:
    office = Office()
    agent = office.agent(slots=1)
    assert agent.link is not None
    office.tell(Arrived("a", agent.link.control(m.Goodbye("a-1"))))
    office.wait(6)
    office.welcome(agent, incarnation="a-2")
    assert states(office)[-1] == "ready"


def test_an_agent_that_was_taken_down_is_asked_no_more() -> None:
    office = Office()
    agent = office.agent()
    office.tell(AgentForgotten("a"))
    agent.heard.clear()
    office.wait(30)
    assert agent.heard == []


# ---------------------------------------------------------------- restart


def test_a_restarted_scheduler_waits_for_agents_to_report_before_it_grants() -> None:
    office = Office(durable=True)
    agent = office.agent("a", slots=4, free=0)
    office.tell(a_restored_job(3, 3, done=(1,)))
    assert "has just started" in office.core.explain(1, 2, office.now)
    office.claim(agent, room=9)
    assert agent.granted() == []
    office.wait(RESTORE_WAIT_S + 0.1, alive=(agent,))
    assert agent.granted() == [2, 3]


def test_what_an_agent_reports_after_a_restart_is_adopted_not_granted() -> None:
    office = Office(durable=True)
    office.tell(a_restored_job(3, 3))
    agent = office.agent("a", slots=4, free=2, running=[[1, 0, [2], [5]]])
    assert agent.granted() == [1, 3]
    office.finish(agent, [1, 3])
    agent.batch += 1
    office.say(agent, m.Finished(9, 1, 0, [2], [5], [OK], 0.1))
    assert office.outcomes() == {1: OK, 2: OK, 3: OK}


def test_tasks_far_above_the_mark_are_granted_at_once() -> None:
    office = Office(durable=True)
    agent = office.agent("a", slots=1, free=0)
    office.tell(a_restored_job(RESTORE_AHEAD + 10, 5))
    office.claim(agent, room=3)
    assert agent.granted() == [RESTORE_AHEAD + 6, RESTORE_AHEAD + 7, RESTORE_AHEAD + 8]


def test_a_restored_job_with_all_tasks_done_ends() -> None:
    office = Office(durable=True)
    office.tell(a_restored_job(3, 3, done=(1, 2, 3)))
    assert office.states() == ["succeeded"]


def test_what_waits_for_silent_agents_is_told_by_agent() -> None:
    office = Office()
    agents = [office.agent(name, slots=2) for name in "ab"]
    office.job(6)
    office.wait(20, alive=tuple(agents))
    assert away(office.core.jobs[1], office.core.roster, office.now) == []
    office.wait(5, alive=(agents[1],))
    (one,) = away(office.core.jobs[1], office.core.roster, office.now)
    assert (one.tasks, one.first) == (2, min(agents[0].granted()))
    assert one.why == (
        "granted to a, which is unreachable, silent for 5 s;"
        " the first of them is granted elsewhere in 15 s unless it comes back"
    )


def test_who_waits_for_a_slot_is_told_which_machines_are_silent() -> None:
    office = Office()
    office.agent("a", slots=1)
    other = office.agent("b", slots=1)
    office.job(3)
    office.wait(8, alive=(other,))
    why = "waits for a free slot on b; a is unreachable, silent for 8 s"
    assert office.core.explain(1, 3, office.now) == why


def test_a_job_that_waits_for_its_silent_agents_says_for_how_long() -> None:
    office = Office()
    office.agent("a", slots=1)
    office.job(1, on_lost="wait")
    office.wait(5)
    (one,) = away(office.core.jobs[1], office.core.roster, office.now)
    assert "the job waits until it comes back, or is taken for lost in" in one.why
