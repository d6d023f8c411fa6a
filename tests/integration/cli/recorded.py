"""Ledgers as covey writes them, for tests of the commands that read them."""

from pathlib import Path

from covey.model.job import JobSpec, JobState
from covey.model.pack import pack
from covey.model.report import Report
from covey.model.task import OutcomeState
from covey.model.template import Template
from covey.scheduler.ledger import Ledger
from covey.scheduler.records import Event, Items, JobSealed, JobStateChanged, NewJob, Op, Outcomes
from covey.wire.codec import spec_to_wire

#: 2026-11-20 10:00:00 UTC.
STARTED = 1_795_168_800.0


class Recorded:
    """A job, told step by step: `Recorded(1, "gzip -k {}").items(b"a").task(1).write(dir)`."""

    def __init__(self, job: int, command: str, *, name: str = "", created: float = STARTED) -> None:
        self.job = job
        self.created = created
        template = Template.parse(command.encode()).to_wire()
        spec = JobSpec(name=name, user="ada", client={"command": command, "template": template})
        body = pack(spec_to_wire(spec))
        self.ops: list[Op] = [NewJob(job, f"key-{job}", body, JobState.RUNNING, created, name)]
        self.count = 0

    def items(self, *items: bytes) -> "Recorded":
        """One argument per task; no more will come."""
        self.ops.append(Items(self.job, 1, [pack([[item], None]) for item in items]))
        self.ops.append(JobSealed(self.job, len(items)))
        self.count = len(items)
        return self

    def task(
        self,
        task: int,
        state: OutcomeState = OutcomeState.SUCCEEDED,
        *,
        agent: str = "local1",
        ran_s: float = 0.5,
        report: Report | None = None,
    ) -> "Recorded":
        """How a task ended."""
        report = report or Report()
        report.started = self.created + task
        report.ended = report.started + ran_s
        report.slot = 1
        report.out_size = report.out_size or len(report.out)
        report.err_size = report.err_size or len(report.err)
        self.ops.append(Outcomes(self.job, 1, [task], [1], [state], agent, [report], report.ended))
        return self

    def ended(self, state: JobState, *, after_s: float = 10.0, reason: str = "") -> "Recorded":
        """The job's final state."""
        at = self.created + after_s
        self.ops.append(JobStateChanged(self.job, state, reason, at))
        return self

    def event(self, kind: str, text: str) -> "Recorded":
        """Something that happened to the job."""
        self.ops.append(Event(self.job, self.created + 1, kind, text))
        return self

    def write(self, state_dir: Path) -> None:
        """All of it into the ledger of the cluster."""
        ledger = Ledger.open(state_dir / "ledger.db", post=lambda call: call())
        ledger.write(self.ops)
        ledger.close()
