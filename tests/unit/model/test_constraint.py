"""Which machines a shape allows, and what is said when it allows none."""

import pytest

from covey.model.constraint import fits, unknown, unmet
from covey.model.job import Shape

MACHINES = (("lab1", ("gpu", "big")), ("lab2", ("gpu",)), ("pi", ()))


def allowed(**terms: tuple[str, ...]) -> list[str]:
    return [name for name, labels in MACHINES if fits(Shape(**terms), name, labels)]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        ({}, ["lab1", "lab2", "pi"]),
        ({"labels": ("gpu",)}, ["lab1", "lab2"]),
        ({"labels": ("gpu", "big")}, ["lab1"]),
        ({"machines": ("pi", "lab2")}, ["lab2", "pi"]),
        ({"avoid": ("lab1",)}, ["lab2", "pi"]),
        ({"avoid": ("@gpu",)}, ["pi"]),
        ({"avoid": ("gpu",)}, ["lab1", "lab2", "pi"]),
        ({"labels": ("gpu",), "avoid": ("@big",)}, ["lab2"]),
        ({"labels": ("gpu",), "machines": ("pi",)}, []),
    ],
)
def test_a_shape_allows_the_machines_that_meet_all_it_says(
    terms: dict[str, tuple[str, ...]], names: list[str]
):
    assert allowed(**terms) == names


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Shape(labels=("gpu",)), ""),
        (Shape(labels=("gpus",)), "no machine has the label gpus: did you mean gpu?"),
        (Shape(labels=("tpu9",)), "no machine has the label tpu9; there is big, gpu"),
        (Shape(machines=("lab3",)), "there is no machine lab3: did you mean lab2?"),
        (Shape(machines=("x", "y")), "there is no machine x or y; there is lab1, lab2, pi"),
        (
            Shape(labels=("gpu",), avoid=("lab1", "lab2")),
            "no machine of lab1, lab2, pi has the label gpu and is not lab1 or lab2",
        ),
        (Shape(machines=("pi",), labels=("gpu",)), "no machine of pi has the label gpu and is pi"),
        (Shape(avoid=("lab1", "lab2", "pi")), "no machine of lab1, lab2, pi is not lab1 or"),
    ],
)
def test_a_shape_that_no_machine_meets_says_what_is_missing(shape: Shape, said: str):
    told = unmet(shape, MACHINES)
    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_without_any_machine_nothing_is_met():
    for shape in (Shape(), Shape(labels=("gpu",)), Shape(avoid=("lab1",))):
        assert unmet(shape, []) == "the cluster has no machines: add some with covey up HOST…"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (Shape(labels=("gpu",), machines=("pi", "lab2"), avoid=("lab1", "@big")), ""),
        (Shape(machines=("pi", "lab3")), "there is no machine lab3: did you mean lab2?"),
        (Shape(avoid=("lab3",)), "to avoid: there is no machine lab3: did you mean lab2?"),
        (Shape(avoid=("x",)), "to avoid: there is no machine x; there is lab1, lab2, pi"),
        (Shape(avoid=("gpu",)), "to avoid: there is no machine gpu; there is lab1, lab2, pi"),
        (Shape(avoid=("@gpus",)), "to avoid: no machine has the label gpus: did you mean gpu?"),
        (Shape(avoid=("@pi",)), "to avoid: no machine has the label pi; there is big, gpu"),
    ],
)
def test_a_name_that_nothing_has_is_told_though_other_machines_meet_the_shape(
    shape: Shape, said: str
):
    assert unmet(shape, MACHINES) == ""
    assert unknown(shape, MACHINES) == said
