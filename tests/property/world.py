"""A cluster on its stage: how it is healed, and the laws that hold for it."""

from collections.abc import Callable

from tests import invariants as law
from tests.property.nodes import SUCCEEDED, Node
from tests.property.stage import Stage

from covey.core.events import AgentDraining
from covey.core.slots import ASIDE_MAX
from covey.model.job import JobState

#: Virtual seconds within which everything must have ended once all faults are healed: an
#: unreachable agent is waited for up to 600 s, and each retry may meet it again.
HEALED_MAX_S = 2000.0
#: Rounds of deliver, tick, run in that time.
ROUNDS_MAX = 20_000


class World(Stage):
    """A stage that knows what must hold on it."""

    # -- the end

    def heal(self) -> None:
        """Every fault is undone: who is dead is started anew, who is cut off is heard again."""
        for node in list(self.nodes.values()):
            node.is_cut = False
            node.is_suspended = False
            if not node.is_agent and node.is_up:
                self.drain(node, [])
            self.set_bus(node, True)
            if node.is_agent and not node.is_up:
                self.birth_of_agent(node.name)
            elif not node.is_up and node.durable:
                self.birth_of_scheduler(durable=True, old=node)
        for node in self.schedulers():
            for number, record in node.jobs.items():
                if node.is_up and not record.is_over:
                    self.seal(node, number)

    def drain(self, node: Node, names: list[str]) -> None:
        """A scheduler is told which agents are to finish what they have."""
        for name, peer in list(node.core.roster.peers.items()):
            if peer.is_draining is not (name in names):
                self.tell(node, AgentDraining(name, name in names))

    def settle(self) -> None:
        """Run until every job of every live scheduler has ended."""
        until = self.now + HEALED_MAX_S
        for _ in range(ROUNDS_MAX):
            self.round()
            if self.is_quiet():
                return
            wake = self.next_wake()
            if not self.busy_wires() and wake is not None:
                self.now = max(self.now, wake)
            if self.now > until:
                break
        raise AssertionError("not everything ended: " + self.describe())

    def round(self) -> None:
        """Deliver, write, wake and run whatever is there, once; drained agents are started anew."""
        for node in self.agents():
            if not node.is_up:
                self.birth_of_agent(node.name)
        self.deliver_all()
        for node in self.live():
            while node.disk:
                self.commit(node)
            self.tick(node)
            for slot in list(node.running):
                run = node.running[slot]
                self.work(node, slot, [SUCCEEDED] * len(run.start.ids))

    def deliver_all(self) -> None:
        """What is on its way arrives; not what that is answered with."""
        for source, target in self.busy_wires():
            for _ in range(len(self.wire(source, target))):
                self.deliver(source, target)

    def pass_time(self, seconds: float, work: Callable[[], object]) -> None:
        """All that is on its way arrives and clocks go on; `work` is what tasks do, each turn."""
        until = self.now + seconds
        while self.now < until:
            self.deliver_all()
            for node in self.live():
                self.tick(node)
            work()
            if not self.busy_wires():
                self.now = max(self.now, self.next_wake() or self.now + 1.0)

    def is_quiet(self) -> bool:
        """Nothing is left to do."""
        jobs = [r for n in self.schedulers() if n.is_up for r in n.jobs.values()]
        return all(record.is_over for record in jobs)

    def describe(self) -> str:
        """What is still going on, for the reader of a failure."""
        lines = [f"now {self.now:.2f}"]
        for node in self.schedulers():
            for number, record in node.jobs.items():
                if node.is_up and not record.is_over:
                    job = node.core.jobs.get(number)
                    waiting = job and (job.waiting, len(job.running), job.ended, job.held)
                    lines.append(f"{node.name} job {number}: wait/run/end/held {waiting}")
            peers = node.core.roster.peers.values()
            lines += [f"  {p.name} {p.state} free {p.free} {p.parked} {p.levels}" for p in peers]
        agents = [node for node in self.agents() if node.is_up]
        lines += [f"{node.name} runs {node.running} {node.core.explain()}" for node in agents]
        return "\n".join(lines)

    # -- laws

    def check(self) -> None:
        """The laws that hold at every moment."""
        self.seen.check()
        for node in self.agents():
            works = [w for peer in node.core._peers.values() for w in peer.works.values()]
            waiting = sum(w.queued for w in works if not (w.terms.slots or w.terms.at_once))
            aside = sum(slot > self.slots for slot in node.running)
            spread = [
                (run.start.scheduler, run.start.job)
                for run in node.running.values()
                if run.start.terms.is_spread
            ]
            law.tasks_that_spread_are_one_per_agent(spread)
            if node.is_up:
                law.what_takes_no_slot_waits_for_no_slot(waiting, aside, ASIDE_MAX)
        for node in self.schedulers():
            for number, record in node.jobs.items():
                law.each_item_recorded_at_most_once(row.task for row in record.rows)
                law.only_final_states_are_recorded(record.rows)
                law.each_success_ran(record.rows, self.ran_well.get((node.name, number), set()))
                law.what_is_told_is_recorded(record.told, record.rows)

    def check_ended(self) -> None:
        """The laws that hold once everything has ended."""
        self.check()
        for node in self.schedulers():
            if not node.is_up:
                continue
            for record in node.jobs.values():
                law.each_item_recorded_once((row.task for row in record.rows), record.held)
                assert record.state in set(JobState) - {JobState.RUNNING, JobState.CANCELLING}
