"""What is checked where a job is accepted: its user's priority, and that some machine may run it.

The head, a private run and an Executor ask the same questions, each of the users and machines that
it knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from covey.errors import JobRejected
from covey.model.constraint import unknown, unmet
from covey.model.job import JobSpec, Shape
from covey.model.policy import DEFAULT_PROBE_RATIO
from covey.model.users import Users
from covey.scheduler.ports import Jobs
from covey.wire.codec import spec_from_wire, spec_to_wire

#: (name, labels) of every machine of the cluster, whatever state it is in.
Machines = list[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Admission:
    """Accepts jobs and shapes, or says in a sentence why not."""

    users: Callable[[], Users]
    machines: Callable[[], Machines]
    #: More machines may come: who asks for one that is not there may wait for it.
    may_grow: bool = True

    def job(self, spec: JobSpec) -> JobSpec:
        """The job as it is accepted: with its user's weight and an allowed priority.

        Raises:
            JobRejected: no machine may ever run it, or its user may not ask for that.
        """
        users, machines = self.users(), self.machines()
        if spec.probe_ratio > max(DEFAULT_PROBE_RATIO, len(machines)):
            raise JobRejected(
                f"probe ratio {spec.probe_ratio:g}: that many different machines cannot be asked,"
                f" there {'is' if len(machines) == 1 else 'are'} {len(machines)}",
                reason="probe_ratio",
            )
        shapes = tuple(self._admitted(terms, users, machines) for terms in spec.shapes)
        return replace(spec, shapes=shapes, weight=users.of(spec.user).weight)

    def shape(self, terms: Shape) -> Shape:
        """One more shape of an accepted job.

        Raises:
            JobRejected: as `job`.
        """
        return self._admitted(terms, self.users(), self.machines())

    def _admitted(self, terms: Shape, users: Users, machines: Machines) -> Shape:
        # What takes no slot looks after a machine: it has its own answer for one that is gone.
        waits = not terms.slots or (terms.waits_for_machines and self.may_grow)
        if not waits and (why := unmet(terms, machines) or unknown(terms, machines)):
            advice = "to wait for one: --wait (wait=True)" if self.may_grow else _ALONE
            raise JobRejected(f"{why} — {advice}", reason="constraint")
        priority = users.priority(terms.user, terms.priority)
        return terms if priority == terms.priority else replace(terms, priority=priority)


_ALONE = "this machine is alone, and none can join it: bring a cluster up: covey up HOST…"


class AdmittedJobs:
    """`ports.Jobs` of which only what may run here is accepted."""

    def __init__(self, jobs: Jobs, admission: Admission) -> None:
        self._jobs = jobs
        self._admission = admission
        self.add, self.seal, self.cancel, self.tail = jobs.add, jobs.seal, jobs.cancel, jobs.tail

    def submit(self, key: str, spec: dict[str, Any], then: Callable[[int], None]) -> int:
        """See `ports.Jobs`.

        Raises:
            JobRejected: it may not run here.
            DecodeError: the specification cannot be read.
        """
        admitted = self._admission.job(spec_from_wire(spec))
        return self._jobs.submit(key, spec_to_wire(admitted), then)

    def shape(self, job: int, number: int, terms: Shape, then: Callable[[int], None]) -> None:
        """See `ports.Jobs`.

        Raises:
            JobRejected: its tasks may not run here.
        """
        self._jobs.shape(job, number, self._admission.shape(terms), then)
