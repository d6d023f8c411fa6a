"""Protocol rules 4 and 5 for a machine whose network is cut, in virtual time."""

from typing import Any

import pytest
from tests.unit.core.office import OK, Agent, Office

from covey.core.actions import AgentChanged
from covey.core.events import AgentDied, AgentKnown, PeerGone
from covey.core.explaining import absence
from covey.core.roster import ORPHAN_AFTER_S, UNREACHABLE_AFTER_S
from covey.wire import messages as m


def a_task_that_ran(office: Office, seconds: float, **spec: Any) -> tuple[Agent, Agent]:
    """Task 1 runs on `a` for so long; `b` has free slots."""
    far = office.agent("a", slots=1)
    office.tell(AgentKnown("a", is_far=True))
    office.job(1, **spec)
    other = office.agent("b")
    office.wait(seconds, alive=(far, other))
    assert far.granted() == [1]
    return far, other


def come_back(office: Office, agent: Agent, n: int = 1) -> None:
    """The agent answers; it ran on meanwhile."""
    office.welcome(agent, free=0, running=[[1, 1, [1], [n]]])


@pytest.mark.parametrize("on_lost", ["rerun", "wait"])
def test_a_cut_of_60_s_does_not_start_twice_what_had_run_for_70_s(on_lost: str) -> None:
    office = Office()
    far, other = a_task_that_ran(office, 70, on_lost=on_lost)
    office.tell(PeerGone("a"))
    office.wait(60, alive=(other,))
    assert office.core.roster.peers["a"].state == "unreachable"
    come_back(office, far)
    office.wait(60, alive=(far, other))
    office.finish(far, [1])
    assert other.granted() == []
    assert office.outcomes() == {1: OK}


def test_with_on_lost_wait_what_had_just_begun_is_not_started_twice_either() -> None:
    office = Office()
    far, other = a_task_that_ran(office, 1, on_lost="wait")
    office.wait(60, alive=(other,))
    come_back(office, far)
    office.finish(far, [1])
    assert other.granted() == []
    assert office.outcomes() == {1: OK}


@pytest.mark.parametrize(
    ("ran_s", "given_up_s"), [(0.0, UNREACHABLE_AFTER_S), (20.0, 20.0), (3000.0, ORPHAN_AFTER_S)]
)
def test_a_task_is_given_up_after_as_long_a_silence_as_it_had_run(
    ran_s: float, given_up_s: float
) -> None:
    office = Office()
    _, other = a_task_that_ran(office, ran_s)
    heard = office.core.roster.peers["a"].heard
    office.wait(heard + given_up_s - 0.5 - office.now, alive=(other,))
    assert other.granted() == []
    # Hello is repeated each second, and silence is judged by the pulse.
    office.wait(UNREACHABLE_AFTER_S + 1.5, alive=(other,))
    assert other.granted() == [1]


def test_when_both_run_the_first_success_is_recorded_and_the_other_stopped() -> None:
    office = Office()
    far, other = a_task_that_ran(office, 1)
    office.wait(10, alive=(other,))
    assert other.granted() == [1]
    come_back(office, far)
    office.finish(far, [1])
    assert office.outcomes() == {1: OK}
    stop = other.all(m.Stop)[-1]
    assert (stop.ids, stop.ns) == ([1], [2])


def test_a_broken_link_to_a_far_agent_is_judged_by_its_silence() -> None:
    office = Office()
    a_task_that_ran(office, 1)
    office.tell(PeerGone("a"))
    assert office.core.roster.peers["a"].is_ready
    office.wait(4)
    states = [change.state for change in office.all(AgentChanged) if change.agent == "a"]
    assert states == ["ready", "unreachable"]


def test_a_far_agent_that_is_found_dead_is_lost_at_once() -> None:
    office = Office()
    _, other = a_task_that_ran(office, 70)
    office.tell(AgentDied("a"))
    assert other.granted() == [1]


def test_status_can_say_what_becomes_of_an_unreachable_agent() -> None:
    office = Office()
    _, other = a_task_that_ran(office, 70)
    peer, jobs = office.core.roster.peers["a"], office.core.jobs.values()
    assert absence(peer, jobs, office.now) is None
    office.wait(30, alive=(other,))
    found = absence(peer, jobs, office.now)
    assert found is not None
    assert found.tasks == 1
    assert found.regrant_in_s == pytest.approx(peer.heard + 70 - office.now, abs=1)
    assert found.lost_in_s == pytest.approx(peer.since + ORPHAN_AFTER_S - office.now)
    assert "1 tasks wait for it, the first in 4" in str(found)
