"""The laws of the cluster, applied to what a ledger on disk says."""

from collections.abc import Iterable
from pathlib import Path

from tests import invariants

from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow
from covey.testing.cluster import Lab

#: How a task may end whose slot, machine or child was killed under it.
HURT = frozenset({OutcomeState.CRASHED, OutcomeState.LOST})


def numbers(count: int) -> bytes:
    """The items 1 … count, a line each."""
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


def held_back(lab: Lab, *, behind: int = 0) -> str:
    """A command that ends only after `let_go`, with items up to `behind` as exceptions."""
    return f"[ {{}} -le {behind} ] || while [ ! -e {_gate(lab)} ]; do sleep 0.05; done; echo {{}}"


def let_go(lab: Lab) -> None:
    """See `held_back`."""
    _gate(lab).touch()


def _gate(lab: Lab) -> Path:
    return lab.directory / "let-go"


def every_item_is_recorded_once(lab: Lab, total: int, *, job: int = 1) -> list[OutcomeRow]:
    """Exactly one outcome per item, counted as such, and no attempt twice; returns the outcomes."""
    rows = lab.outcomes(job)
    invariants.each_item_recorded_once([row.task for row in rows], total)
    invariants.only_final_states_are_recorded(
        invariants.Row(row.task, row.term, row.n, row.state) for row in rows
    )
    row = lab.job(job)
    assert (row.total, row.done) == (total, total)
    assert row.succeeded + row.failed + row.cancelled == total
    assert row.succeeded == sum(one.state == OutcomeState.SUCCEEDED for one in rows)
    lost = lab.view.attempts(job)
    invariants.an_attempt_is_granted_once((one.task, one.term, one.n) for one in [*rows, *lost])
    for one in rows:
        if one.state == OutcomeState.SUCCEEDED:
            assert one.out == b"%d\n" % one.task, f"{one.task} wrote {one.out!r}"
    return rows


def all_succeeded(rows: Iterable[OutcomeRow]) -> None:
    """Nothing that is the cluster's fault became a task's."""
    bad = [(row.task, row.state) for row in rows if row.state != OutcomeState.SUCCEEDED]
    assert not bad, f"{len(bad)} did not succeed: {bad[:10]}"


def only_these_were_hurt(rows: Iterable[OutcomeRow], most: int) -> None:
    """At most `most` tasks ended with what was killed, all others well."""
    bad = [row for row in rows if row.state != OutcomeState.SUCCEEDED]
    assert len(bad) <= most, f"{len(bad)} of at most {most}"
    assert {row.state for row in bad} <= HURT
