"""What is checked where a job is accepted."""

from collections.abc import Callable
from typing import Any

import pytest

from covey.errors import JobRejected
from covey.model.job import JobSpec, Shape
from covey.model.users import User, Users
from covey.scheduler.admission import Admission, AdmittedJobs
from covey.wire.codec import spec_from_wire, spec_to_wire

USERS = Users({"alice": User(3.0, (1, 10))})
ADMISSION = Admission(lambda: USERS, lambda: [("lab1", ("gpu",)), ("lab2", ())])


def test_an_accepted_job_has_the_weight_and_an_allowed_priority_of_its_user():
    spec = JobSpec(user="alice", shapes=(Shape(user="alice"), Shape(user="alice", priority=7)))
    admitted = ADMISSION.job(spec)
    assert admitted.weight == 3.0
    assert [shape.priority for shape in admitted.shapes] == [1, 7]


def test_a_constraint_that_no_machine_meets_is_refused_unless_the_job_waits():
    with pytest.raises(JobRejected, match=r"no machine has the label tpu.* --wait \(wait=True\)"):
        ADMISSION.job(JobSpec(shapes=(Shape(labels=("tpu",)),)))
    waits = Shape(labels=("tpu",), waits_for_machines=True)
    assert ADMISSION.shape(waits) == waits


@pytest.mark.parametrize("words", [{"avoid": ("lab3",)}, {"machines": ("lab1", "lab3")}])
def test_a_machine_that_is_not_there_is_refused_unless_it_may_come(words: dict[str, Any]):
    with pytest.raises(
        JobRejected, match=r"there is no machine lab3: did you mean lab2\?.* --wait"
    ):
        ADMISSION.shape(Shape(**words))
    waits = Shape(**words, waits_for_machines=True)
    assert ADMISSION.shape(waits) == waits


def test_nobody_waits_for_a_machine_where_none_can_come():
    alone = Admission(Users, lambda: [("here", ())], may_grow=False)
    with pytest.raises(JobRejected, match="no machine has the label gpu; there is none — this "):
        alone.shape(Shape(labels=("gpu",), waits_for_machines=True))


def test_what_takes_no_slot_is_not_held_against_the_machines():
    errand = Shape(machines=("gone",), slots=0)
    assert ADMISSION.shape(errand) == errand


@pytest.mark.parametrize("machines", [1, 2])
def test_the_default_probe_ratio_is_always_accepted(machines: int):
    few = Admission(Users, lambda: [(f"lab{n}", ()) for n in range(machines)])
    assert few.job(JobSpec()).probe_ratio == 2.0


def test_more_probes_for_a_task_than_there_are_machines_are_refused():
    with pytest.raises(JobRejected, match=r"probe ratio 2\.5: .* there are 2"):
        ADMISSION.job(JobSpec(probe_ratio=2.5))


class Kept:
    """`ports.Jobs` that keeps what reaches it."""

    def __init__(self) -> None:
        self.specs: list[JobSpec] = []
        self.shapes: list[Shape] = []

    def submit(self, key: str, spec: dict[str, Any], then: Callable[[int], None]) -> int:
        self.specs.append(spec_from_wire(spec))
        return len(self.specs)

    def shape(self, job: int, number: int, terms: Shape, then: Callable[[int], None]) -> None:
        self.shapes.append(terms)

    def add(
        self, job: int, shape: int, first: int, args: list[bytes], then: Callable[[int], None]
    ) -> None: ...

    def seal(self, job: int, total: int, then: Callable[[int], None]) -> None: ...

    def cancel(self, job: int, ids: list[int]) -> None: ...

    def tail(self, job: int, task: int, *, on: bool) -> None: ...


def test_only_what_is_accepted_reaches_the_jobs():
    kept = Kept()
    jobs = AdmittedJobs(kept, ADMISSION)
    good, bad = Shape(labels=("gpu",), user="alice"), Shape(machines=("lab9",))
    assert jobs.submit("a", spec_to_wire(JobSpec(user="alice", shapes=(good,))), print) == 1
    with pytest.raises(JobRejected, match="no machine lab9"):
        jobs.submit("b", spec_to_wire(JobSpec(shapes=(bad,))), print)
    with pytest.raises(JobRejected, match="no machine lab9"):
        jobs.shape(1, 2, bad, print)
    jobs.shape(1, 2, good, print)
    assert [spec.weight for spec in kept.specs] == [3.0]
    assert [shape.priority for shape in kept.shapes] == [1]
