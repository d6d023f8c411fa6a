"""Whatever is recorded, in whatever order and however often: the ledger reads as a simple model."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.ledgers import a_job, open_ledger, record, write_job

from covey.model.report import Report
from covey.model.task import SPENDS_A_START, OutcomeState
from covey.scheduler.folding import fold
from covey.scheduler.ledger import (
    Attempts,
    Items,
    JobSealed,
    JobStateChanged,
    Ledger,
    Op,
    Outcomes,
)
from covey.scheduler.runs import RunDir
from covey.scheduler.view import LedgerView

IDS = st.lists(st.integers(1, 40), max_size=12)
STATES = st.sampled_from(
    [
        OutcomeState.SUCCEEDED,
        OutcomeState.FAILED,
        OutcomeState.CANCELLED,
        OutcomeState.LOST,
        OutcomeState.TIMED_OUT,
    ]
)
#: Sizes on both sides of what stays in a row.
SIZES = st.sampled_from([0, 1, 4095, 4096, 4097, 20_000])
JOBS = st.integers(1, 3)


@dataclass
class Model:
    """One job."""

    held: int = 0
    #: task -> (state, output), in the order of recording.
    outcomes: dict[int, tuple[int, bytes]] = field(default_factory=dict[int, tuple[int, bytes]])
    #: (task, term, n) -> state.
    attempts: dict[tuple[int, int, int], int] = field(
        default_factory=dict[tuple[int, int, int], int]
    )
    state: str = "running"
    total: int | None = None


class LedgerMachine(RuleBasedStateMachine):
    """One ledger, its model, and private runs that are folded into it."""

    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="covey-test-")
        self.state_dir = Path(self.directory.name)
        self.model: dict[int, Model] = {}
        self.seqs: dict[int, list[int]] = {}
        self.folded: list[int] = []

    @initialize()
    def begin(self) -> None:
        self.ledger = open_ledger(self.state_dir / "ledger.db")
        for job in (1, 2, 3):
            record(self.ledger, a_job(job))
            self.model[job] = Model()
        (self.state_dir / "counter").write_text(f"{3:020d}\n")

    @rule(job=JOBS, first=st.integers(1, 40), count=st.integers(0, 20))
    def items(self, job: int, first: int, count: int) -> None:
        """As `AddItems`: what does not follow what is held is not taken."""
        model = self.model[job]
        if first <= model.held + 1:
            record(self.ledger, Items(job, first, [b"i%d" % (first + i) for i in range(count)]))
            model.held = max(model.held, first + count - 1)

    @rule(
        batches=st.lists(st.tuples(JOBS, IDS, STATES, SIZES, st.integers(1, 3)), max_size=4),
    )
    def outcomes(self, batches: list[tuple[int, list[int], OutcomeState, int, int]]) -> None:
        """Several batches in one transaction, doubles inside of and between them."""
        ops: list[Op] = []
        for job, ids, state, size, term in batches:
            outs = [b"%d" % task * (size // len(b"%d" % task)) for task in ids]
            reports = [Report(out=out, out_size=len(out)) for out in outs]
            ops.append(
                Outcomes(job, term, ids, [1] * len(ids), [state] * len(ids), "a", reports, 1.0)
            )
            for task, out in zip(ids, outs, strict=True):
                self.model[job].outcomes.setdefault(task, (state, out))
        record(self.ledger, *ops)

    @rule(job=JOBS, ids=IDS, state=STATES, term=st.integers(1, 2), n=st.integers(1, 3))
    def attempts(self, job: int, ids: list[int], state: OutcomeState, term: int, n: int) -> None:
        many = len(ids)
        record(
            self.ledger,
            Attempts(job, term, ids, [n] * many, [state] * many, "b", [None] * many, 1.0),
        )
        for task in ids:
            self.model[job].attempts.setdefault((task, term, n), state)

    @rule(job=JOBS, state=st.sampled_from(["running", "cancelling", "failed", "succeeded"]))
    def job_state(self, job: int, state: str) -> None:
        record(self.ledger, JobStateChanged(job, state, "", 5.0))
        self.model[job].state = state

    @rule(job=JOBS, total=st.integers(0, 50))
    def seal(self, job: int, total: int) -> None:
        record(self.ledger, JobSealed(job, total))
        self.model[job].total = total

    @rule()
    def restart(self) -> None:
        before = self.ledger.raise_term()
        self.ledger.close()
        self.ledger = open_ledger(self.state_dir / "ledger.db")
        assert self.ledger.raise_term() > before

    @precondition(lambda self: len(self.folded) < 3)
    @rule(tasks=st.integers(1, 5))
    def fold_a_run(self, tasks: int) -> None:
        run = RunDir.create(self.state_dir)
        write_job(run.ledger_path, run.number, tasks=tasks)
        run.close()
        before = LedgerView(self.state_dir).outcomes(run.number)
        assert fold(self.state_dir).folded == [run.number]
        assert LedgerView(self.state_dir).outcomes(run.number) == before
        self.folded.append(run.number)

    @invariant()
    def it_reads_as_the_model(self) -> None:
        view = LedgerView(self.state_dir)
        jobs = {row.job: row for row in view.jobs()}
        assert sorted(jobs) == sorted([*self.model, *self.folded])
        for number, model in self.model.items():
            row = jobs[number]
            assert (row.held, row.total, row.state) == (model.held, model.total, model.state)
            states = [state for state, _ in model.outcomes.values()]
            assert row.done == len(states)
            assert row.succeeded == states.count(OutcomeState.SUCCEEDED)
            assert row.cancelled == states.count(OutcomeState.CANCELLED)
            assert row.failed == row.done - row.succeeded - row.cancelled
            self._check_pages(view, number, model)

    def _check_pages(self, view: LedgerView, number: int, model: Model) -> None:
        seen: list[tuple[int, int, bytes]] = []
        seqs: list[int] = []
        while page := view.outcomes(number, seqs[-1] if seqs else 0, 7):
            seen += [(row.task, int(row.state), row.out) for row in page]
            seqs += [row.seq for row in page]
        assert seen == [(task, state, out) for task, (state, out) in model.outcomes.items()]
        old = self.seqs.get(number, [])
        assert seqs[: len(old)] == old, "a seq, once seen, stays"
        self.seqs[number] = seqs
        assert view.job(number).last_seq == (seqs[-1] if seqs else 0)

    @invariant()
    def a_restart_would_know_it(self) -> None:
        view = LedgerView(self.state_dir)
        for number, model in self.model.items():
            known = view.restore(number)
            done = {i for i in range(len(known.done) * 8) if known.done[i >> 3] >> (i & 7) & 1}
            assert done == set(model.outcomes)
            spent: dict[int, int] = {}
            for (task, _, _), state in model.attempts.items():
                if state in SPENDS_A_START:
                    spent[task] = spent.get(task, 0) + 1
            assert known.starts == spent

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
        self.directory.cleanup()


LedgerMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLedger = LedgerMachine.TestCase
