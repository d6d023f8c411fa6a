"""One end of a session."""

from covey.core.link import (
    ACK_DELAY_S,
    ACK_OWED_MAX,
    GAP_AGAIN_S,
    RESEND_AFTER_S,
    UNACKED_MAX,
    UNACKED_MAX_BYTES,
    Link,
)
from covey.wire.messages import Frame, Grant, Heartbeat, Load

SESSION = b"s" * 16


def two_ends() -> tuple[Link, Link]:
    return Link(SESSION, 0.0), Link(SESSION, 0.0)


def a_message(number: int = 1) -> Load:
    return Load(number, 0, 0)


def test_messages_are_numbered_from_one_and_carry_the_acknowledgement() -> None:
    here, there = two_ends()
    [first] = here.send(a_message(1), 0.0)
    there.arrived(first, 0.0)
    [answer] = there.send(a_message(2), 0.0)
    assert (first.seq, first.ack) == (1, 0)
    assert (answer.seq, answer.ack) == (1, 1)
    here.arrived(answer, 0.0)
    assert here.unacked == 0


def test_a_copy_is_applied_once_and_acknowledged_again() -> None:
    here, there = two_ends()
    [frame] = here.send(a_message(), 0.0)
    assert there.arrived(frame, 0.0)[0] == [frame.message]
    messages, frames = there.arrived(frame, 0.0)
    assert messages == []
    assert [f.ack for f in frames] == [1]


def test_frames_of_another_session_are_ignored() -> None:
    here, _ = two_ends()
    assert here.arrived(Frame(b"other", 1, 0, a_message()), 0.0) == ([], [])
    assert here.wake_at is None


def test_a_gap_is_reported_and_filled_at_once() -> None:
    here, there = two_ends()
    here.send(a_message(1), 0.0)
    [second] = here.send(a_message(2), 0.0)
    messages, reports = there.arrived(second, 0.01)
    assert messages == []
    _, frames = here.arrived(reports[0], 0.02)
    assert [f.seq for f in frames] == [1, 2]
    applied = [m for f in frames for m in there.arrived(f, 0.03)[0]]
    assert applied == [a_message(1), a_message(2)]


def test_a_burst_behind_a_gap_makes_one_report_and_one_repetition() -> None:
    here, there = two_ends()
    frames = [f for n in range(100) for f in here.send(a_message(n), 0.0)]
    reports = [r for f in frames[1:] for r in there.arrived(f, 0.001)[1]]
    assert len(reports) == 1
    assert len(here.arrived(reports[0], 0.002)[1]) == 100
    assert here.arrived(reports[0], 0.003)[1] == []
    assert len(here.arrived(reports[0], 0.003 + GAP_AGAIN_S)[1]) == 100


def test_the_same_frame_object_comes_again_with_a_fresh_acknowledgement() -> None:
    here, there = two_ends()
    [frame] = here.send(a_message(), 0.0)
    here.arrived(there.send(a_message(7), 0.0)[0], 0.1)
    [again] = here.bus_up(0.5)
    assert again is frame
    assert again.ack == 1


def test_only_the_oldest_frame_is_repeated_to_a_silent_peer_until_it_answers() -> None:
    here, there = two_ends()
    for number in (1, 2, 3):
        here.send(a_message(number), 0.0)
    assert here.wake_at == RESEND_AFTER_S
    assert here.tick(RESEND_AFTER_S / 2) == []
    [question] = here.tick(RESEND_AFTER_S)
    assert question.seq == 1
    there.arrived(question, 1.1)
    [answer] = there.tick(1.1 + ACK_DELAY_S)
    _, rest = here.arrived(answer, 1.4)
    assert [f.seq for f in rest] == [2, 3]


def test_an_owed_acknowledgement_goes_alone_when_nothing_carries_it() -> None:
    here, there = two_ends()
    there.arrived(here.send(a_message(), 0.0)[0], 1.0)
    assert there.wake_at == 1.0 + ACK_DELAY_S
    [frame] = there.tick(1.0 + ACK_DELAY_S)
    assert (frame.seq, frame.ack) == (0, 1)
    assert isinstance(frame.message, Heartbeat)
    assert there.wake_at is None


def test_many_owed_acknowledgements_go_at_once() -> None:
    here, there = two_ends()
    answers = [
        answer
        for n in range(ACK_OWED_MAX)
        for answer in there.arrived(here.send(a_message(n), 0.0)[0], 0.0)[1]
    ]
    assert [f.ack for f in answers] == [ACK_OWED_MAX]


def test_messages_beyond_the_window_wait_and_go_in_order_when_it_opens() -> None:
    here, there = two_ends()
    frames = [f for n in range(UNACKED_MAX + 2) for f in here.send(a_message(n), 0.0)]
    assert (len(frames), here.backlog) == (UNACKED_MAX, 2)
    for frame in frames[:-1]:
        there.arrived(frame, 0.0)
    _, opened = here.arrived(there.control(Heartbeat()), 0.1)
    assert [f.message for f in opened] == [a_message(UNACKED_MAX), a_message(UNACKED_MAX + 1)]
    assert here.backlog == 0


def test_large_bodies_close_the_window_early_even_when_filled_in_later() -> None:
    here, there = two_ends()
    size = 512 * 1024
    grants = [Grant(1, 1, 1, [n], [1]) for n in range(20)]
    sent: list[Frame] = []
    for grant in grants:
        sent += here.send(grant, 0.0)
        grant.body = bytes(size)
    assert len(sent) * size == UNACKED_MAX_BYTES
    there.arrived(sent[0], 0.0)
    _, opened = here.arrived(there.control(Heartbeat()), 0.1)
    assert len(opened) == 1


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    here, _ = two_ends()
    here.send(a_message(), 0.0)
    here.arrived(Frame(SESSION, 0, 99, Heartbeat()), 0.0)
    assert here.unacked == 1


def test_unsequenced_messages_pass_at_once_and_need_no_answer() -> None:
    here, there = two_ends()
    frame = here.control(Heartbeat(nonce=5))
    assert there.arrived(frame, 0.0) == ([Heartbeat(nonce=5)], [])
    assert there.wake_at is None


def test_a_frame_of_another_session_and_a_copy_are_old_and_what_comes_next_is_not() -> None:
    link = Link(SESSION, 0.0)
    link.arrived(Frame(SESSION, 1, 0, Load(1, 0, 0)), 0.0)
    assert link.is_old(Frame(SESSION, 1, 0, Load(1, 0, 0)))
    assert link.is_old(Frame(b"another", 2, 0, Load(1, 0, 0)))
    assert not link.is_old(Frame(SESSION, 2, 0, Load(1, 0, 0)))
    assert not link.is_old(Frame(SESSION, 3, 0, Load(1, 0, 0)))
    assert not link.is_old(Frame(SESSION, 0, 0, Heartbeat()))
