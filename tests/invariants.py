"""The laws of the cluster, as functions over what was seen; they raise AssertionError.

They know nothing of cores or services: property machines, the integration tier and chaos runs hand
them plain rows, out of a simulated ledger or a real one.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import NamedTuple

from covey.model.task import OutcomeState


class Row(NamedTuple):
    """A recorded outcome: which task, by which attempt, how it ended."""

    task: int
    term: int
    n: int
    state: int


class Placing(NamedTuple):
    """A grant: the machine and its labels, and what the shape wants and avoids of them."""

    machine: str
    labels: Collection[str]
    wanted: Collection[str]
    avoided: Collection[str]


def each_item_recorded_at_most_once(tasks: Iterable[int]) -> None:
    """No task has two outcomes."""
    twice = [task for task, count in Counter(tasks).items() if count > 1]
    assert not twice, f"recorded more than once: {twice[:10]}"


def each_item_recorded_once(tasks: Iterable[int], total: int) -> None:
    """The tasks 1 … total have exactly one outcome each, and no other task has one."""
    seen = list(tasks)
    each_item_recorded_at_most_once(seen)
    missing = sorted(set(range(1, total + 1)) - set(seen))
    assert not missing, f"{len(missing)} of {total} without outcome: {missing[:10]}"
    strangers = sorted(set(seen) - set(range(1, total + 1)))
    assert not strangers, f"outcomes of tasks that were never submitted: {strangers[:10]}"


def only_final_states_are_recorded(rows: Iterable[Row]) -> None:
    """RETURNED is never an outcome."""
    for row in rows:
        assert row.state != OutcomeState.RETURNED, f"{row} is no outcome"


def each_attempt_started_once(starts: Iterable[Hashable]) -> None:
    """No (scheduler, job, task, term, n) was started twice by one incarnation of an agent."""
    twice = [start for start, count in Counter(starts).items() if count > 1]
    assert not twice, f"started more than once: {twice[:5]}"


def only_granted_attempts_started(starts: Iterable[Hashable], granted: Iterable[Hashable]) -> None:
    """Whatever runs was granted by a scheduler, under exactly that attempt."""
    wild = set(starts) - set(granted)
    assert not wild, f"started without a grant: {sorted(map(str, wild))[:5]}"


def an_attempt_is_granted_once(granted: Iterable[Hashable]) -> None:
    """A scheduler numbers attempts so that none is granted twice, wherever to."""
    twice = [grant for grant, count in Counter(granted).items() if count > 1]
    assert not twice, f"granted more than once: {twice[:5]}"


def each_success_ran(rows: Iterable[Row], ran_well: set[tuple[int, int, int]]) -> None:
    """A recorded success is one that a task really had: (task, term, n)."""
    for row in rows:
        if row.state == OutcomeState.SUCCEEDED:
            assert row[:3] in ran_well, f"{row} was recorded and never happened"


def what_is_told_is_recorded(told: Mapping[int, int], rows: Iterable[Row]) -> None:
    """What the client was told (task -> state) is what is recorded."""
    recorded = {row.task: row.state for row in rows}
    for task, state in told.items():
        assert recorded.get(task) == state, f"task {task}: told {state}, recorded {recorded}"


def a_pinned_task_starts_on_its_machines(started: Iterable[tuple[str, Collection[str]]]) -> None:
    """Each start is (machine, machines that may run the task; none = any)."""
    astray = [(name, pins) for name, pins in started if pins and name not in pins]
    assert not astray, f"started on a machine that it is not for: {astray[:5]}"


def a_task_is_granted_where_its_shape_may_run(placed: Iterable[Placing]) -> None:
    """The machine has all labels that the shape wants, and is nothing that it avoids."""
    for one in placed:
        lacking = set(one.wanted) - set(one.labels)
        assert not lacking, f"{one.machine} lacks {lacking}"
        is_what = {one.machine, *(f"@{label}" for label in one.labels)}
        assert not is_what & set(one.avoided), f"{one.machine} is to be avoided: {one.avoided}"


def tasks_that_spread_are_one_per_agent(running: Iterable[Hashable]) -> None:
    """What runs on one agent of shapes that spread: (scheduler, job) of each."""
    twice = [job for job, count in Counter(running).items() if count > 1]
    assert not twice, f"side by side on one agent: {twice}"


def a_task_yields_to_more_urgent_ones_only(yielded: Iterable[tuple[int, int]]) -> None:
    """Each task that was stopped to make room is (its priority, that of who waited)."""
    for own, other in yielded:
        assert own < other, f"a task of priority {own} was stopped for one of {other}"


def what_goes_back_spends_no_start(states: Collection[int]) -> None:
    """States of attempts that are tried again: what was preempted or given back is not of them."""
    assert states
    assert OutcomeState.RETURNED not in states
    assert OutcomeState.CANCELLED not in states


def a_draining_agent_is_given_nothing_new(given: Iterable[tuple[bool, bool, int]]) -> None:
    """Each grant is (the agent drains, the task is pinned, slots it takes): only what looks after
    a machine (pinned, no slot) reaches one that drains.
    """
    for is_draining, is_pinned, slots in given:
        assert not is_draining or (is_pinned and not slots), "a draining agent was given more work"


def what_takes_no_slot_waits_for_no_slot(waiting: int, running: int, places: int) -> None:
    """A task without slots waits at an agent only while all places aside of the slots are taken."""
    assert not waiting or running == places, f"{waiting} wait, {running} of {places} places taken"


def slots_add_up(slots: int, busy: int, free: int) -> None:
    """Slots in use and free slots are all slots there are."""
    assert busy + free == slots, f"{busy} busy and {free} free of {slots} slots"


def no_task_waits_beside_a_free_slot(running: int, slots: int, about: str) -> None:
    """As many tasks of one slot as there are slots: each runs, however long the others take."""
    assert running == slots, f"{running} of {slots} slots were found:\n{about}"
