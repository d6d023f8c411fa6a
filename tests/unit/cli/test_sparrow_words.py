"""What a command line of `covey sparrow` asks for, and how a wrong one is told."""

from typing import Any

import pytest

from covey.cli.sparrow.command import order_of, sparrow
from covey.cli.sparrow.order import Order
from covey.errors import UsageError
from covey.model.policy import POLICIES


def ordered(*words: str) -> Order:
    """The order of these words."""
    given: dict[str, Any] = sparrow.make_context("sparrow", list(words)).params
    return order_of(given)


def test_the_words_of_the_replication_are_enough():
    order = ordered("BATCH+LATE_BINDING", "10", "10", "1")
    assert order.policies == ("BATCH+LATE_BINDING",)
    assert (order.ask.jobs, order.ask.tasks, order.ask.duration_s) == (10, 10, 1.0)
    assert (order.ask.spread_s, order.ask.arrival, order.probe_ratio) == (0.0, "together", 2.0)
    assert order.machines is None
    assert order.is_multi_get is False
    assert order.has_cancellation is True


def test_a_draw_that_was_written_needs_a_method_only():
    order = ordered("BATCH", "--trace", "draw")
    assert (order.policies, str(order.trace_in)) == (("BATCH",), "draw")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("5", "JOBS"),
        ("1 1 1 0", "JOBS, TASKS, DURATION, SPREAD"),
        ("--load 0.5", "--load"),
        ("--users a:1:0", "--users"),
        ("--arrival together", "--arrival"),
        ("--seed 0", "--seed"),
        ("--duration 5s --seed 1", "--seed, --duration"),
    ],
)
def test_what_a_written_draw_says_cannot_be_said_beside_it(words: str, named: str):
    with pytest.raises(UsageError, match=f"^{named}: --trace draw says already"):
        ordered("BATCH", *words.split(), "--trace", "draw")


def test_a_load_means_poisson_and_slots_mean_machines_of_its_own():
    order = ordered("random", "10", "10", "0.1", "0.05", "--load", "0.8", "--slots", "2")
    assert (order.ask.arrival, order.ask.load) == ("poisson", 0.8)
    assert (order.machines, order.slots) == (10, 2)


def test_compare_runs_every_policy_beginning_with_the_one_that_is_named():
    order = ordered("BATCH", "1", "1", "1", "--compare")
    assert order.policies[0] == "BATCH"
    assert sorted(order.policies) == sorted(POLICIES)


def test_probe_ratios_are_real_or_auto():
    assert ordered("BATCH", "1", "1", "1", "--probe-ratio", "1.05").probe_ratio == 1.05
    assert ordered("BATCH", "1", "1", "1", "--probe-ratio", "auto").probe_ratio == 0.0


def test_schedulers_are_so_many_or_those_of_some_names():
    order = ordered("BATCH", "1", "1", "1", "--schedulers", "3", "--machines", "2")
    assert (order.schedulers, order.scheduler_names) == (3, ())
    order = ordered("BATCH", "1", "1", "1", "--schedulers", "s1, 2nd,s1")
    assert (order.schedulers, order.scheduler_names) == (2, ("s1", "2nd"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("RANDM 1 1 1", "did you mean RANDOM"),
        ("OMNISCIENT 1 1 1", "only in the simulator"),
        ("RANDOM -1 1 1", "JOBS is -1"),
        ("RANDOM 1 0 1", "TASKS is 0"),
        ("RANDOM 1 1 -0.5", "DURATION is -0.5"),
        ("RANDOM 1 1 1 2", "SPREAD is 2"),
        ("RANDOM 1 1 1 -1", "SPREAD is -1"),
        ("RANDOM one 1 1", "JOBS is 'one'"),
        ("RANDOM 1.5 1 1", "JOBS is '1.5'"),
        ("RANDOM 1 1 inf", "DURATION is 'inf'"),
        ("RANDOM 1 1 1 --machines 0", "--machines is 0"),
        ("RANDOM 1 1 1 --machines 100000", "--machines is 100000"),
        ("RANDOM 1 1 1 --slots -2", "--slots is -2"),
        ("RANDOM 1 1 1 --schedulers 0", "--schedulers is 0"),
        ("RANDOM 1 1 1 --schedulers -3", "--schedulers is -3"),
        ("RANDOM 1 1 1 --schedulers 1.5", "give a whole number, or names"),
        ("RANDOM 1 1 1 --schedulers s1,s2 --machines 3", "the cluster that is up"),
        ("RANDOM 1 1 1 --schedulers s1 --slots 3", "the cluster that is up"),
        ("RANDOM 1 1 1 --probe-ratio 0.5", "probe ratio 0.5"),
        (
            "RANDOM 1 1 1 --probe-ratio nan",
            "probe ratio nan: give .* or auto",
        ),
        ("RANDOM 1 1 1 --load -0.5", "a load of -0.5"),
        ("RANDOM 1 1 1 --load 0.5 --arrival sequence", "poisson"),
        ("RANDOM 1 1 1 --duration 5s", "poisson"),
        ("RANDOM 1 1 1 --duration 0 --load 0.5", "--duration is 0: no job arrives in no time"),
        ("RANDOM 1 1 1 --warmup soon", "length of time"),
        ("RANDOM 1 1 1 --warmup -1", "'-1' is no length of time"),
        ("RANDOM 1 1 1 --schedulers s1,,s2", "'s1,,s2': a name is missing"),
        ("RANDOM 1 1 1 --users a:b", "--users"),
        ("RANDOM 1 1 1 --users a:1:1001", "priority of a must be from -1000 to 1000"),
        ("RANDOM 1 1 1 --users=", "--users: '' is not name:weight:priority"),
        ("RANDOM 1 1 1 --plot /nowhere/x.svg", "--plot /nowhere/x.svg: there is no directory"),
        ("RANDOM 1 1 1 --save-trace /nowhere/x", "--save-trace /nowhere/x: there is no"),
        ("RANDOM 1 1 1 --phases /", "--phases /: it is a directory"),
        ("RANDOM 1 1", "missing argument 'DURATION'"),
    ],
)
def test_a_wrong_word_is_a_sentence(words: str, says: str):
    with pytest.raises(UsageError, match=says):
        ordered(*words.split())
