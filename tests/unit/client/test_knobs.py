"""What may be said to an Executor, and what is refused."""

from typing import Any

import pytest

from covey.client.feed import Options
from covey.client.knobs import Knobs, knobs_of, options_changed
from covey.errors import UsageError
from covey.model.policy import AUTO_RATIO


def test_nothing_said_is_late_binding_with_two_probes_for_who_calls(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("USER", "alice")
    placing, options = knobs_of({})
    assert (placing.policy, placing.probe_ratio, placing.user) == (
        "BATCH+LATE_BINDING",
        2.0,
        "alice",
    )
    assert options == Options()


def test_what_is_said_reaches_the_jobs_and_the_tasks():
    placing, options = knobs_of(
        {"policy": "batch", "probe_ratio": 1.05, "priority": 4, "user": "bob", "preempt": True}
    )
    spec = placing.spec()
    assert (spec.policy, spec.probe_ratio, spec.user) == ("BATCH", 1.05, "bob")
    assert (options.priority, options.may_preempt) == (4, True)
    assert knobs_of({"probe_ratio": "auto"})[0].probe_ratio == AUTO_RATIO
    assert not knobs_of({"cancellation": False})[0].has_cancellation


@pytest.mark.parametrize(
    ("knobs", "error", "said"),
    [
        ({"policy": "batsh"}, UsageError, "did you mean BATCH"),
        ({"policy": 3}, UsageError, "no policy '3'"),
        ({"policy": "OMNISCIENT"}, UsageError, "only in the simulator"),
        ({"probe_ratio": 0.5}, UsageError, "from 1 to 100"),
        ({"probe_ratio": float("nan")}, UsageError, "from 1 to 100"),
        ({"probe_ratio": "much"}, UsageError, "or auto"),
        ({"policy": "RANDOM", "probe_ratio": 2}, UsageError, "no sample"),
        ({"policy": "JSQ", "cancellation": True}, UsageError, "nothing to cancel"),
        ({"priority": 1001}, ValueError, "-1000 to 1000"),
        ({"priority": 1.5}, TypeError, "priority must be a whole number"),
        ({"user": " "}, ValueError, "empty"),
        ({"polcy": "BATCH"}, TypeError, "did you mean policy"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(
    knobs: Knobs, error: type[Exception], said: str
):
    with pytest.raises(error, match=said):
        knobs_of(knobs)


def test_options_add_up_and_none_leaves_them_as_they_are():
    first = options_changed(Options(), {"labels": "gpu", "avoid": ["lab1", "@old"], "cpus": None})
    assert (first.labels, first.avoid, first.cpus) == (("gpu",), ("lab1", "@old"), 1)
    second = options_changed(first, {"machines": ("lab2", "lab2"), "spread": True, "wait": True})
    assert (second.labels, second.machines) == (("gpu",), ("lab2",))
    assert second.is_spread
    assert second.waits_for_machines
    assert options_changed(second, {"labels": ()}).labels == ()


@pytest.mark.parametrize(
    "given",
    [{"labels": "@gpu"}, {"labels": [1]}, {"machines": ""}, {"avoid": "a b"}, {"avoid": "@"}],
)
def test_what_is_no_name_is_refused(given: dict[str, Any]):
    with pytest.raises(ValueError, match="is no name"):
        options_changed(Options(), given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"priority": "high"}, "priority must be a whole number, not 'high'"),
        ({"cpus": 1.5}, "cpus must be a whole number, not 1.5"),
        ({"labels": 3}, "labels must be a name or several, not 3"),
    ],
)
def test_what_is_of_no_such_type_is_named(given: dict[str, Any], told: str):
    with pytest.raises(TypeError, match=f"^{told}$"):
        options_changed(Options(), given)
