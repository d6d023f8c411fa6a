"""--limit."""

import pytest

from covey.errors import UsageError
from covey.fleet.limit import select

MACHINES = [
    ("lab1", ("lab",)),
    ("lab2", ("lab", "gpu")),
    ("lab3", ("lab",)),
    ("rack", ("gpu",)),
    ("10-0-0-7", ()),
]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("lab1", ["lab1"]),
        ("rack,lab1", ["lab1", "rack"]),
        ("lab*,!lab3", ["lab1", "lab2"]),
        ("lab*,!lab3,@gpu", ["lab1", "lab2", "rack"]),
        ("!lab3", ["lab1", "lab2", "rack", "10-0-0-7"]),
        ("!@lab", ["rack", "10-0-0-7"]),
        ("lab*:&@gpu", ["lab2"]),
        ("@lab:!lab1", ["lab2", "lab3"]),
        ("@l*", ["lab1", "lab2", "lab3"]),
        ("lab[12]", ["lab1", "lab2"]),
        ("lab?", ["lab1", "lab2", "lab3"]),
        ("all", [name for name, _ in MACHINES]),
        ("*", [name for name, _ in MACHINES]),
        ("10.0.0.7", ["10-0-0-7"]),
        ("10.0.*", ["10-0-0-7"]),
        (" lab1 , rack ", ["lab1", "rack"]),
        ("!lab3,lab3,lab1", ["lab1"]),
    ],
)
def test_a_pattern_takes_machines_in_their_order(pattern: str, names: list[str]):
    assert select(MACHINES, pattern) == names


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("lba1", "there is no machine 'lba1' — there is lab1"),
        ("lab1,nix", "there is no machine 'nix'"),
        ("!nix", "there is no machine 'nix'"),
        ("x*", "there is no machine 'x*'"),
        ("gpu", "there is no machine 'gpu'; the group is @gpu"),
        ("@gup", "there is no group @gup — there is @gpu"),
        ("lab1,!lab1", "leaves no machine"),
        ("", "is empty"),
        (" , ", "is empty"),
    ],
)
def test_a_word_that_fits_nothing_is_an_error_with_what_is_near(pattern: str, said: str):
    with pytest.raises(UsageError) as caught:
        select(MACHINES, pattern)
    assert said in str(caught.value)


def test_there_may_be_no_machine_at_all():
    with pytest.raises(UsageError, match="there are none"):
        select([], "lab1")
