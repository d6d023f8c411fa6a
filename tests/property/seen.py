"""What was seen on a stage, for the laws."""

from typing import Any

from tests import invariants as law
from tests.property.nodes import Node

from covey.core.actions import Start
from covey.wire.messages import Frame, Grant


class Seen:
    """Starts, grants and stops, as rows."""

    def __init__(self) -> None:
        self.starts: list[tuple[Any, ...]] = []
        self.granted: list[tuple[Any, ...]] = []
        #: (machine, its pins) of each start; (drains, is pinned, slots) of each grant.
        self.started: list[tuple[str, tuple[str, ...]]] = []
        self.given: list[tuple[bool, bool, int]] = []
        #: (machine, its labels, what the shape wants of them, what it avoids) of each grant.
        self.placed: list[law.Placing] = []
        #: (priority, priority of the most urgent line that waited) of each task sent back.
        self.yielded: list[tuple[int, int]] = []
        self._grants: set[tuple[bytes, int]] = set()

    def sent(self, node: Node, to: str, frame: Frame) -> None:
        """A scheduler says something; a frame that is repeated says nothing new."""
        message = frame.message
        if not isinstance(message, Grant) or (frame.session, frame.seq) in self._grants:
            return
        self._grants.add((frame.session, frame.seq))
        self.granted += [
            (node.name, message.job, message.term, task, n)
            for task, n in zip(message.ids, message.ns, strict=True)
        ]
        terms = node.core.jobs[message.job].shapes[message.shape]
        peer = node.core.roster.peers[to]
        self.given.append((peer.is_draining, bool(terms.machines), terms.slots))
        self.placed.append(law.Placing(to, peer.labels, terms.labels, terms.avoid))

    def begun(self, node: Node, start: Start) -> None:
        """An agent starts tasks."""
        self.started.append((node.name, start.terms.machines))
        self.starts += [
            (node.incarnation, start.scheduler, start.job, start.term, task, n)
            for task, n in zip(start.ids, start.ns, strict=True)
        ]

    def killed(self, node: Node, slot: int) -> None:
        """An agent stops what runs in a slot."""
        bench = node.core._bench
        run = bench.slots.runs.get(slot)
        # One whose scheduler is gone is stopped for that, also when it was to yield before.
        if run is not None and run.is_returning and not run.is_orphan:
            waiting = [work.priority for work in bench.serving.preempting.values()]
            self.yielded.append((run.work.priority, max(waiting, default=run.work.priority)))

    def check(self) -> None:
        """The laws of what was seen."""
        law.each_attempt_started_once(self.starts)
        law.an_attempt_is_granted_once(self.granted)
        law.only_granted_attempts_started([one[1:] for one in self.starts], self.granted)
        law.a_pinned_task_starts_on_its_machines(self.started)
        law.a_task_is_granted_where_its_shape_may_run(self.placed)
        law.a_draining_agent_is_given_nothing_new(self.given)
        law.a_task_yields_to_more_urgent_ones_only(self.yielded)
