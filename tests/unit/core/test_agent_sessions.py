"""Sessions, loss and leaving, as an agent sees them."""

from tests.unit.core.desk import Desk, Room

from covey.core.actions import DropPayloads, DropReports, ForgetJob, Leave, Send
from covey.core.agent import ORPHAN_AFTER_S, SILENCE_S
from covey.core.events import BusDown, BusUp, DrainAsked, PeerGone
from covey.model.task import OutcomeState
from covey.wire import messages as m


def test_hello_is_answered_by_a_welcome_that_says_who_we_are() -> None:
    desk = Desk(Room(slots=3))
    welcome = desk.last(m.Welcome)
    assert (welcome.opening, welcome.incarnation) == (1, "a1")
    assert (welcome.slots, welcome.free) == (3, 3)


def test_a_repeated_opening_gets_the_same_session_again() -> None:
    desk = Desk(Room())
    session = desk.link.session
    desk.open()
    assert desk.link.session == session
    assert len(desk.all(m.Welcome)) == 1


def test_a_higher_opening_gets_a_new_session_that_tells_everything() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2, 3)
    room.end(1, took_s=0.5)
    desk.enqueue(count=4)
    desk.heard.clear()
    desk.hello.opening = 2
    desk.open()
    welcome = desk.last(m.Welcome)
    assert welcome.holds == [[1, 1, 4]]
    assert welcome.running == [[1, 1, [2], [1]], [1, 1, [3], [1]]]
    assert welcome.unrecorded == [[1, 1, [1], [1]]]
    assert desk.outcomes() == {1: OutcomeState.SUCCEEDED}
    assert desk.last(m.Finished).room == 0


def test_a_lower_opening_and_a_lower_term_are_ghosts() -> None:
    room = Room()
    desk = Desk(room, durable=True, term=5)
    session = desk.link.session
    desk.hello.opening = 0
    desk.open()
    desk.hello = m.Hello(9, 4, "older", True)
    desk.open()
    assert desk.link.session == session


def test_another_protocol_is_refused_with_a_reason() -> None:
    room = Room()
    desk = Desk(room, "new")
    desk.hello = m.Hello(1, 1, "x", protocol=99)
    actions = desk.post(m.Frame(b"", 0, 0, desk.hello))
    [send] = [action for action in actions if isinstance(action, Send)]
    assert isinstance(send.frame.message, m.Goodbye)
    assert "99" in send.frame.message.reason


def test_a_new_incarnation_of_an_in_memory_scheduler_ends_what_the_old_one_gave() -> None:
    room = Room(slots=1)
    desk = Desk(room, "app").described()
    desk.grant(1, 2)
    Desk(room, "app", incarnation="second")
    assert room.killed() == [(1, [1])]
    assert room.all(ForgetJob) == [ForgetJob("app", 1)]
    assert DropPayloads("app", 1, 1, [2]) in room.all(DropPayloads)
    room.end(1, state=OutcomeState.CANCELLED)
    assert room.desks["app"].all(m.Finished) == []


def test_a_late_hello_of_an_incarnation_that_is_gone_raises_no_ghost() -> None:
    room = Room()
    old = Desk(room, "app").described()
    new = Desk(room, "app", incarnation="second").described()
    new.grant(1)
    old.open()
    assert room.killed() == []


def test_tasks_of_a_durable_scheduler_run_on_over_its_restart() -> None:
    room = Room(slots=1)
    desk = Desk(room, durable=True, term=1).described()
    desk.enqueue()
    desk.grant(1, 2)
    room.handle(PeerGone("head"))
    again = Desk(room, durable=True, term=2, incarnation="second").described()
    assert room.killed() == []
    welcome = again.last(m.Welcome)
    assert welcome.running == [[1, 1, [1], [1]], [1, 1, [2], [1]]]
    assert welcome.holds == []
    room.end(1)
    assert again.last(m.Finished).term == 1
    again.tell(m.Stop(1, 1, [2], [1]))
    again.grant(2, n=1)
    assert room.killed() == [(1, [2])]


def test_outcomes_wait_for_a_durable_scheduler_that_is_away() -> None:
    room = Room(slots=1)
    desk = Desk(room, durable=True).described()
    desk.grant(1)
    room.handle(PeerGone("head"))
    room.end(1)
    room.wait(10 * SILENCE_S, talking=False)
    again = Desk(room, durable=True, term=2, incarnation="second")
    assert again.outcomes() == {1: OutcomeState.SUCCEEDED}


def test_nothing_is_claimed_from_a_durable_scheduler_that_is_away() -> None:
    room = Room(slots=1)
    desk = Desk(room, durable=True).described()
    desk.grant(1)
    desk.enqueue()
    room.handle(PeerGone("head"))
    room.end(1)
    assert desk.last(m.Finished).room == 0
    desk.post(desk.link.control(m.Heartbeat()))
    assert len(desk.all(m.Claim)) == 1


def test_an_in_memory_scheduler_is_gone_at_goodbye() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    desk.post(m.Frame(b"", 0, 0, m.Goodbye("another")))
    assert room.killed() == []
    desk.post(m.Frame(b"", 0, 0, m.Goodbye("head1")))
    assert room.killed() == [(1, [1])]


def test_an_in_memory_scheduler_is_gone_when_nobody_listens() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1)
    room.handle(PeerGone("head"))
    assert room.all(DropReports) == [DropReports("head", 1)]
    assert room.core.wake_at is None


def test_an_in_memory_scheduler_is_gone_after_30_s_of_silence() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.wait(SILENCE_S - 1, talking=False)
    assert room.killed() == []
    room.wait(2, talking=False)
    assert room.killed() == [(1, [1])]


def test_silence_is_not_counted_while_our_own_link_is_down() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.handle(BusDown())
    room.wait(ORPHAN_AFTER_S - 1, talking=False)
    assert room.killed() == []
    room.handle(BusUp())
    room.wait(SILENCE_S - 1, talking=False)
    assert room.killed() == []


def test_tasks_of_an_in_memory_scheduler_stop_when_our_link_is_down_for_10_minutes() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.handle(BusDown())
    room.wait(ORPHAN_AFTER_S + 2, talking=False)
    assert room.killed() == [(1, [1])]


def test_an_agent_that_stood_still_judges_nobody() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.tick(3600.0)
    assert room.killed() == []
    room.wait(SILENCE_S + 2, talking=False)
    assert room.killed() == [(1, [1])]


def test_each_scheduler_hears_a_pulse_with_facts() -> None:
    room = Room(slots=2)
    desk = Desk(room).described()
    desk.grant(1, 2, 3)
    room.wait(3.5)
    beats = [b for b in desk.all(m.Heartbeat) if b.facts]
    assert len(beats) == 3
    assert (beats[0].facts["busy"], beats[0].facts["queued"]) == (2, 1)


def test_a_heartbeat_with_a_nonce_is_answered_at_once() -> None:
    room = Room()
    desk = Desk(room)
    desk.post(desk.link.control(m.Heartbeat(nonce=77)))
    assert desk.last(m.Heartbeat).echo == 77


def test_unacknowledged_frames_go_again_when_the_bus_is_back() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1)
    room.handle(BusDown())
    frames = [a.frame for a in room.handle(BusUp()) if isinstance(a, Send)]
    assert any(isinstance(frame.message, m.Finished) for frame in frames)


def test_frames_of_an_old_session_do_nothing() -> None:
    room = Room()
    desk = Desk(room).described()
    [ghost] = desk.link.send(m.Grant(1, 1, 1, [1], [1]), room.now)
    desk.hello.opening = 2
    desk.open()
    desk.post(ghost)
    assert room.started == []
    assert not room.core.expects("head", ghost)


def test_a_grant_in_order_is_expected_and_its_copy_is_not() -> None:
    room = Room()
    desk = Desk(room).described()
    [frame] = desk.link.send(m.Grant(1, 1, 1, [1], [1]), room.now)
    assert room.core.expects("head", frame)
    desk.post(frame)
    assert not room.core.expects("head", frame)


def test_messages_of_strangers_do_nothing() -> None:
    room = Room()
    desk = Desk(room)
    room.handle(PeerGone("head"))
    desk.post(desk.link.control(m.Heartbeat(nonce=3)))
    assert desk.all(m.Heartbeat) == []


def test_a_draining_agent_returns_what_waits_and_leaves_when_all_is_recorded() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2)
    desk.enqueue()
    room.handle(DrainAsked())
    assert desk.outcomes() == {2: OutcomeState.RETURNED}
    desk.grant(3)
    desk.enqueue(count=9)
    assert desk.outcomes()[3] is OutcomeState.RETURNED
    room.end(1)
    assert desk.outcomes()[1] is OutcomeState.SUCCEEDED
    assert desk.last(m.Finished).free == 0
    assert room.all(Leave) == []
    desk.tell(m.Recorded([batch.batch for batch in desk.all(m.Finished)]))
    assert room.all(Leave) == [Leave()]
    assert desk.last(m.Goodbye).incarnation == "a1"
    assert desk.all(m.Claim) == []


def test_an_idle_agent_that_drains_leaves_at_once() -> None:
    assert Leave() in Room().handle(DrainAsked())
