"""Which line is next."""

from dataclasses import dataclass

from covey.core.queueing import LAG_MAX_S, FairShare, Fifo, Priority, QueuePolicy


@dataclass
class ALine:
    order: int = 1
    user: str = "ann"
    priority: int = 0
    job: int = 1
    scheduler: str = "head"


def served(policy: QueuePolicy, lines: list[ALine], rounds: int, slot_s: float = 1.0) -> list[int]:
    """Positions of the lines that get the next slots; each is charged the same."""
    out: list[int] = []
    for _ in range(rounds):
        best = min(lines, key=lambda line: (-policy.urgency(line), policy.rank(line)))
        policy.charge(best, slot_s)
        out.append(lines.index(best))
    return out


def test_fifo_is_by_arrival_whatever_the_priority() -> None:
    assert served(Fifo(), [ALine(2, priority=9), ALine(1)], 2) == [1, 1]


def test_priority_is_strict_and_by_arrival_among_equals() -> None:
    lines = [ALine(1), ALine(3, priority=1), ALine(2, priority=1)]
    assert served(Priority(), lines, 1) == [2]


def test_fair_share_is_strict_about_priority() -> None:
    lines = [ALine(1, "ann"), ALine(2, "bob", priority=1)]
    assert served(FairShare(), lines, 3) == [1, 1, 1]


def test_users_get_equal_slot_time_however_many_jobs_they_have() -> None:
    lines = [ALine(1, "ann", job=1), ALine(2, "ann", job=2), ALine(3, "bob", job=3)]
    got = served(FairShare(), lines, 40)
    assert got.count(2) == 20
    assert got.count(0) == got.count(1) == 10


def test_weights_divide_slot_time() -> None:
    lines = [ALine(1, "ann"), ALine(2, "bob", job=2)]
    got = served(FairShare({"ann": 3.0}), lines, 40)
    assert got.count(0) == 30


def test_slot_time_counts_not_the_number_of_tasks() -> None:
    policy = FairShare()
    long, short = ALine(1, "ann"), ALine(2, "bob", job=2)
    policy.charge(long, 0.5)
    assert served(policy, [long, short], 5, slot_s=0.1) == [1, 1, 1, 1, 1]


def test_a_user_who_comes_late_does_not_take_all_slots_for_long() -> None:
    policy = FairShare()
    served(policy, [ALine(1, "ann")], 3600)
    got = served(policy, [ALine(1, "ann"), ALine(2, "bob", job=2)], 100, slot_s=0.1)
    lead = LAG_MAX_S / 0.1
    assert 50 <= got.count(1) <= 50 + lead + 10


def test_a_corrected_guess_gives_time_back() -> None:
    policy = FairShare()
    ann, bob = ALine(1, "ann"), ALine(2, "bob", job=2)
    policy.charge(ann, 0.9)
    policy.charge(bob, 0.5)
    policy.charge(ann, -0.8)
    assert policy.rank(ann) < policy.rank(bob)


def test_a_forgotten_job_leaves_nothing_behind() -> None:
    policy = FairShare()
    line = ALine()
    policy.charge(line, 5.0)
    policy.forget("head", 1)
    assert policy.rank(line)[1] == 0.0
