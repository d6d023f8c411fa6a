"""Which scheduler holds a client's calls: the table, and each way to lose one."""

from covey.core.failover import (
    FAILOVER_TRANSITIONS,
    SILENT_MAX_S,
    STRANDED_MAX_S,
    FailoverCore,
    Phase,
)
from covey.core.failover_events import (
    Abandon,
    Action,
    AskUser,
    Decided,
    Deliver,
    Fail,
    Gone,
    Heard,
    Launch,
    LinkDown,
    LinkUp,
    Look,
    Probe,
    Results,
    Strand,
    Submitted,
)


def test_the_table_of_phases_has_no_way_out_of_the_last() -> None:
    assert {before for before, _ in FAILOVER_TRANSITIONS} == set(Phase) - {Phase.OVER}
    assert set(FAILOVER_TRANSITIONS.values()) | {Phase.SEEKING} == set(Phase)


def served(names: tuple[str, ...] = ("s1", "s2")) -> FailoverCore:
    """A client whose call 1 is with the first scheduler."""
    core = FailoverCore(names, 0.0)
    core.handle(Submitted([1]), 0.0)
    assert core.handle(Heard("s1"), 0.0) == [Launch("s1", 1, [1])]
    return core


def test_a_dead_scheduler_is_left_at_once_for_the_next_of_the_list() -> None:
    core = served()
    lost = core.handle(Gone("s1"), 0.1)
    assert [type(one) for one in lost] == [Abandon, AskUser, Probe, Probe]
    assert core.handle(Heard("s2"), 0.101) == []
    assert core.handle(Decided(1, is_relaunch=True), 0.102) == [Launch("s2", 2, [1])]
    assert core.handle(Results(1, [1]), 0.2) == [], "of the launch before"
    assert core.handle(Results(2, [1]), 0.2) == [Deliver([1])]
    assert core.handle(Results(2, [1]), 0.2) == [], "said again"


def test_a_silent_one_is_left_after_a_while_and_not_before() -> None:
    core = served()
    now = 0.0
    while now < SILENT_MAX_S - 0.05:
        now = core.wake_at or now
        assert all(isinstance(one, Probe) for one in core.handle(Look(), now))
    actions = [one for i in range(1, 4) for one in core.handle(Look(), now + i * 0.04)]
    assert any(isinstance(one, Abandon) for one in actions)


def test_silence_while_our_own_link_is_down_is_nobodys() -> None:
    core = served()
    core.handle(LinkDown(), 0.1)
    assert core.wake_at is None
    assert core.handle(LinkUp(), 60.0) == []
    assert core.handle(Gone("s1"), 60.1) == [], "it may be connecting again"
    assert core.handle(Look(), 60.1) == [Probe("s1")]
    assert core.phase is Phase.SERVING


def test_a_link_that_was_never_down_excuses_nobody() -> None:
    core = served()
    core.handle(LinkUp(), 0.05)
    assert isinstance(core.handle(Gone("s1"), 0.1)[0], Abandon)


def test_partial_fails_what_was_in_flight_and_no_more() -> None:
    core = served()
    core.handle(Gone("s1"), 0.1)
    core.handle(Submitted([2]), 0.1)
    assert core.handle(Decided(1, is_relaunch=False), 0.1) == [Fail([1])]
    assert core.handle(Heard("s2"), 0.1) == [Launch("s2", 2, [2])]


def test_with_no_scheduler_left_calls_fail_after_a_while() -> None:
    core = served(("s1",))
    core.handle(Gone("s1"), 0.1)
    core.handle(Decided(1, is_relaunch=True), 0.1)
    now, actions = 0.1, list[Action]()
    while now < STRANDED_MAX_S + 1 and core.wake_at is not None:
        now = core.wake_at
        actions = core.handle(Look(), now)
    assert actions == [Strand([1])]
    assert now >= STRANDED_MAX_S
    assert core.handle(Submitted([2]), now) == [Strand([2])]
