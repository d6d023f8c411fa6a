"""Weights and priorities of users."""

import pytest

from covey.errors import JobRejected
from covey.model.users import OTHERS, PRIORITY_MAX, PRIORITY_MIN, User, Users

TABLE = Users(
    {
        "alice": User(2.0, (0, 10)),
        "batch": User(priorities=(-10, -1)),
        "boss": User(priorities=(5, 9)),
    }
)


def test_without_a_table_everybody_may_ask_for_everything():
    nobody = Users()
    assert nobody.of("anyone").weight == 1.0
    assert [nobody.priority("anyone", p) for p in (PRIORITY_MIN, 0, PRIORITY_MAX)] == [
        *(PRIORITY_MIN, 0, PRIORITY_MAX)
    ]


def test_who_is_not_named_beside_others_weighs_one_and_goes_before_nobody():
    assert TABLE.of("carol").weight == 1.0
    assert TABLE.priority("carol", -5) == -5
    with pytest.raises(JobRejected, match=r"not allowed to user carol: it may use at most 0"):
        TABLE.priority("carol", 1)


def test_a_star_stands_for_all_who_are_not_named():
    table = Users({OTHERS: User(0.5, (-3, 3)), "alice": User()})
    assert (table.of("carol").weight, table.of("alice").weight) == (0.5, 1.0)
    with pytest.raises(JobRejected, match="-3 to 3"):
        table.priority("carol", 4)


@pytest.mark.parametrize(("user", "default"), [("alice", 0), ("batch", -1), ("boss", 5)])
def test_no_priority_is_the_allowed_one_nearest_to_zero(user: str, default: int):
    assert TABLE.priority(user, 0) == default


def test_a_priority_outside_of_the_range_is_refused_with_the_range():
    with pytest.raises(
        JobRejected, match=r"priority 11 .* alice: it may use 0 to 10, see \[users\]"
    ):
        TABLE.priority("alice", 11)


def test_a_table_survives_being_written_down():
    assert Users.from_wire(TABLE.to_wire()) == TABLE
