"""One end of one session: each message applied once, in order, whatever the bus loses or doubles.

Go-back-N. The sender keeps what is not acknowledged; the receiver applies the next number and keeps
nothing else. Acknowledgements ride on every frame of the other direction. What is lost goes again

- at once, when the receiver saw a gap (it answers with a heartbeat that says so);
- at once and whole, when our own link to the bus came back (`bus_up`);
- after RESEND_AFTER_S without progress: only the oldest frame, as a question. Its acknowledgement
  tells what else is missing. So a peer that stands still is not buried under copies.

Laws: what was delivered is a prefix of what was sent; no message waits while the window is open; at
most UNACKED_MAX messages and about UNACKED_MAX_BYTES of bodies are unacknowledged.
"""

from collections import deque

from covey.wire.messages import Frame, Heartbeat, Message

#: Most messages that may be unacknowledged in one direction. More = more to repeat after a gap.
UNACKED_MAX = 1024
#: Most bytes of message bodies that may be unacknowledged in one direction.
UNACKED_MAX_BYTES = 8 * 1024 * 1024
#: So few messages, of at most 512 KiB each, are within UNACKED_MAX_BYTES without being counted.
UNCOUNTED_MAX = 16
#: Seconds without progress after which the oldest unacknowledged frame is sent again.
RESEND_AFTER_S = 1.0
#: Seconds that an acknowledgement waits for traffic to ride on; well below RESEND_AFTER_S.
ACK_DELAY_S = 0.2
#: Messages applied and unacknowledged that make an acknowledgement go at once, so that the window
#: of the sender does not close.
ACK_OWED_MAX = UNACKED_MAX // 4
#: The same for bytes of bodies.
ACK_OWED_MAX_BYTES = UNACKED_MAX_BYTES // 4
#: Least seconds between two reports of, or two answers to, the same gap (or two round trips).
GAP_AGAIN_S = 0.05
#: Key in the facts of a heartbeat: frames after `ack` are missing here.
GAP = "gap"


def body_bytes(message: Message) -> int:
    """Bytes of opaque body that a message carries."""
    body: bytes = getattr(message, "body", b"")
    return len(body)


class Link:
    """One end of one session.

    The caller transmits every frame that a method returns, in that order, and hands in all frames
    of the peer. `backlog` has no limit of its own: whoever sends looks at it (a scheduler grants
    nothing to a link with a backlog; an agent claims nothing while too much is unrecorded).
    """

    def __init__(self, session: bytes, now: float) -> None:
        self.session = session
        self._sent = 0
        self._unacked: deque[Frame] = deque()
        self._waiting: deque[Message] = deque()
        self._applied = 0
        self._owed = 0
        self._owed_bytes = 0
        self._owed_since: float | None = None
        self._moved_at = now
        self._recover_to = 0
        self._resent_ack = -1
        self._resent_at = now
        self._gap_told = -1
        self._gap_told_at = now
        self._timed_seq = 0
        self._timed_at = now
        self._round_trip_s = 0.0

    @property
    def backlog(self) -> int:
        """Messages that wait for the window."""
        return len(self._waiting)

    @property
    def unacked(self) -> int:
        """Messages transmitted and not acknowledged."""
        return len(self._unacked)

    @property
    def wake_at(self) -> float | None:
        """When `tick` has something to do; None = nothing to wait for."""
        again_at = self._moved_at + RESEND_AFTER_S if self._unacked else None
        if self._owed_since is None:
            return again_at
        ack_at = self._owed_since + ACK_DELAY_S
        return ack_at if again_at is None else min(again_at, ack_at)

    def expects(self, frame: Frame) -> bool:
        """Whether `arrived` would apply this frame now (it is in order and no copy)."""
        return frame.session == self.session and frame.seq == self._applied + 1

    def is_old(self, frame: Frame) -> bool:
        """Whether this frame is of another session, or was applied already."""
        return frame.session != self.session or 0 < frame.seq <= self._applied

    def send(self, message: Message, now: float) -> list[Frame]:
        """Give `message` its place. [] = the window is full: it goes when the window opens."""
        if self._waiting or not self._has_room(message):
            self._waiting.append(message)
            return []
        return [self._number(message, now)]

    def control(self, message: Message) -> Frame:
        """An unsequenced frame: it may be lost or doubled; it carries the acknowledgement."""
        return self._acknowledging(Frame(self.session, 0, 0, message))

    def arrived(self, frame: Frame, now: float) -> tuple[list[Message], list[Frame]]:
        """Take a frame of the peer.

        Returns:
            The messages to apply now (in order, each once), and the frames to transmit.
        """
        if frame.session != self.session:
            return [], []
        out = self._take_ack(frame.ack, now)
        message = frame.message
        if frame.seq == 0:
            if isinstance(message, Heartbeat) and GAP in message.facts:
                return [], out + self._fill_gap(now)
            return [message], out
        if frame.seq != self._applied + 1:
            return [], out + self._report(frame.seq, now)
        self._applied += 1
        self._owe(body_bytes(message), now)
        if self._owed >= ACK_OWED_MAX or self._owed_bytes >= ACK_OWED_MAX_BYTES:
            out.append(self.control(Heartbeat()))
        return [message], out

    def bus_up(self, now: float) -> list[Frame]:
        """Our link to the bus is back: everything unacknowledged may be lost, so it goes again."""
        return self._again(self._unacked, now)

    def tick(self, now: float) -> list[Frame]:
        """Do what `wake_at` was for."""
        out: list[Frame] = []
        if self._unacked and now >= self._moved_at + RESEND_AFTER_S:
            self._moved_at = now
            self._recover_to = self._sent
            self._timed_seq = 0
            out.append(self._acknowledging(self._unacked[0]))
        if self._owed_since is not None and now >= self._owed_since + ACK_DELAY_S:
            out.append(self.control(Heartbeat()))
        return out

    # -- sending

    def _has_room(self, message: Message) -> bool:
        if len(self._unacked) < UNCOUNTED_MAX:
            return True
        if len(self._unacked) >= UNACKED_MAX:
            return False
        # Counted anew each time: services fill the bodies in after a message got its place here.
        held = sum(body_bytes(frame.message) for frame in self._unacked)
        return held + body_bytes(message) < UNACKED_MAX_BYTES

    def _number(self, message: Message, now: float) -> Frame:
        if not self._unacked:
            self._moved_at = now
        self._sent += 1
        frame = Frame(self.session, self._sent, 0, message)
        self._unacked.append(frame)
        if not self._timed_seq:
            self._timed_seq = self._sent
            self._timed_at = now
        return self._acknowledging(frame)

    def _acknowledging(self, frame: Frame) -> Frame:
        frame.ack = self._applied
        self._owed = 0
        self._owed_bytes = 0
        self._owed_since = None
        return frame

    def _again(self, frames: deque[Frame], now: float) -> list[Frame]:
        if not frames:
            return []
        self._moved_at = now
        self._resent_at = now
        self._resent_ack = frames[0].seq - 1
        # A repeated frame's acknowledgement may belong to its first copy: it measures nothing.
        self._timed_seq = 0
        return [self._acknowledging(frame) for frame in frames]

    # -- acknowledgements of the peer

    def _take_ack(self, ack: int, now: float) -> list[Frame]:
        """Forget what is acknowledged; what waited for the window goes now."""
        if ack > self._sent or not self._unacked or ack < self._unacked[0].seq:
            return []
        while self._unacked and self._unacked[0].seq <= ack:
            self._unacked.popleft()
        self._moved_at = now
        if self._timed_seq and ack >= self._timed_seq:
            self._round_trip_s = now - self._timed_at
            self._timed_seq = 0
        out: list[Frame] = []
        if self._recover_to:
            # The question after a silence is answered: what was sent behind it may be lost too.
            if ack < self._recover_to:
                out = self._again(self._unacked, now)
            self._recover_to = 0
        while self._waiting and self._has_room(self._waiting[0]):
            out.append(self._number(self._waiting.popleft(), now))
        return out

    def _fill_gap(self, now: float) -> list[Frame]:
        """The peer misses what follows its acknowledgement: repeat it, but once per round trip."""
        if not self._unacked:
            return []
        is_new = self._unacked[0].seq - 1 != self._resent_ack
        if not is_new and now < self._resent_at + self._patience_s():
            return []
        return self._again(self._unacked, now)

    # -- frames out of order

    def _report(self, seq: int, now: float) -> list[Frame]:
        """Answer a copy (its acknowledgement was lost) or a gap, once per round trip."""
        is_new = self._gap_told != self._applied
        if not is_new and now < self._gap_told_at + self._patience_s():
            self._owe(0, now)
            return []
        self._gap_told = self._applied
        self._gap_told_at = now
        facts = {GAP: True} if seq > self._applied else {}
        return [self.control(Heartbeat(facts=facts))]

    def _owe(self, size_bytes: int, now: float) -> None:
        self._owed += 1
        self._owed_bytes += size_bytes
        if self._owed_since is None:
            self._owed_since = now

    def _patience_s(self) -> float:
        return min(RESEND_AFTER_S, max(GAP_AGAIN_S, 2 * self._round_trip_s))
