"""Two ends of a session over a channel that drops, doubles, reorders and delays."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covey.core.link import RESEND_AFTER_S, UNACKED_MAX, Link
from covey.wire.messages import Frame, Heartbeat, Load, Message

SESSION = b"0123456789abcdef"
#: Rounds of a healed channel within which everything must have arrived.
ROUNDS_MAX = 200


class End:
    """A link, what it was given, what the other end applied, and the channel towards that end."""

    def __init__(self) -> None:
        self.link = Link(SESSION, 0.0)
        self.sent: list[int] = []
        self.applied: list[int] = []
        self.channel: list[Frame] = []

    def say(self, number: int, now: float) -> None:
        self.sent.append(number)
        self.channel += self.link.send(Load(number, 0, 0), now)

    def take(self, frame: Frame, now: float) -> None:
        messages, frames = self.link.arrived(frame, now)
        self.applied += [message.job for message in messages if isinstance(message, Load)]
        assert all(isinstance(message, Load | Heartbeat) for message in messages)
        self.channel += frames


def copied(frame: Frame) -> Frame:
    """What is on the wire does not change when the sender refreshes its acknowledgement."""
    message: Message = frame.message
    return Frame(frame.session, frame.seq, frame.ack, message)


class LinkMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ends = [End(), End()]
        self.now = 0.0
        self.count = 0

    @rule(side=st.integers(0, 1), many=st.sampled_from([1, 1, 2, 5, UNACKED_MAX + 3]))
    def say(self, side: int, many: int) -> None:
        for _ in range(many):
            self.count += 1
            self.ends[side].say(self.count, self.now)

    @rule(side=st.integers(0, 1), at=st.integers(0, 5), keep=st.booleans())
    def deliver(self, side: int, at: int, keep: bool) -> None:
        """Any of the first frames, not only the first; with `keep`, a copy stays behind."""
        channel = self.ends[side].channel
        if channel:
            at = min(at, len(channel) - 1)
            frame = copied(channel[at])
            if keep:
                channel[at] = frame
            else:
                channel.pop(at)
            self.ends[1 - side].take(frame, self.now)

    @rule(side=st.integers(0, 1))
    def deliver_all(self, side: int) -> None:
        frames, self.ends[side].channel = self.ends[side].channel, []
        for frame in frames:
            self.ends[1 - side].take(copied(frame), self.now)

    @rule(side=st.integers(0, 1), at=st.integers(0, 5), many=st.integers(1, 2000))
    def drop(self, side: int, at: int, many: int) -> None:
        del self.ends[side].channel[at : at + many]

    @rule(side=st.integers(0, 1))
    def a_ghost_of_another_session_comes(self, side: int) -> None:
        self.ends[side].take(Frame(b"another", 1, 99, Load(-1, 0, 0)), self.now)

    @rule(seconds=st.sampled_from([0.001, 0.06, 0.3, 1.1]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for end in self.ends:
            if end.link.wake_at is not None and end.link.wake_at <= self.now:
                end.channel += end.link.tick(self.now)
                assert end.link.wake_at is None or end.link.wake_at > self.now

    @rule(side=st.integers(0, 1))
    def bus_comes_back(self, side: int) -> None:
        self.ends[side].channel += self.ends[side].link.bus_up(self.now)

    @precondition(lambda self: len(self.ends[0].channel) + len(self.ends[1].channel) > 5000)
    @rule()
    def channels_overflow(self) -> None:
        for end in self.ends:
            del end.channel[1000:]

    @invariant()
    def what_was_applied_is_a_prefix_of_what_was_sent(self) -> None:
        for mine, other in (self.ends, self.ends[::-1]):
            fresh = other.applied
            assert fresh == mine.sent[: len(other.applied)]

    @invariant()
    def windows_hold(self) -> None:
        for end in self.ends:
            assert end.link.unacked <= UNACKED_MAX
            if end.link.backlog:
                assert end.link.unacked > 0

    def teardown(self) -> None:
        for _ in range(ROUNDS_MAX):
            if all(not e.link.unacked and not e.link.backlog for e in self.ends):
                break
            self.deliver_all(0)
            self.deliver_all(1)
            self.time_passes(RESEND_AFTER_S / 4)
        for mine, other in (self.ends, self.ends[::-1]):
            assert other.applied == mine.sent
            assert mine.link.unacked == mine.link.backlog == 0


TestLinkMachine = LinkMachine.TestCase
TestLinkMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
