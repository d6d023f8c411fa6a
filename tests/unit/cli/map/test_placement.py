"""Options of `covey map` about where tasks go, and before whom."""

from dataclasses import replace

import pytest

from covey.cli.map.grammar import parse_map
from covey.cli.placed import placement_of, placement_value, priority_of
from covey.errors import UsageError
from covey.model.job import JobSpec, Shape


def meant(*words: str) -> tuple[JobSpec, Shape]:
    return parse_map([*words, "true", ":::", "a"]).spec(user="me")


def test_nothing_said_is_late_binding_for_who_calls():
    job, shape = meant()
    assert (job.policy, job.probe_ratio, job.has_cancellation) == ("BATCH+LATE_BINDING", 2.0, True)
    assert (job.user, shape.user, shape.priority) == ("me", "me", 0)
    assert shape.labels == shape.avoid == ()
    assert (shape.is_spread, shape.may_preempt) == (False, False)


def test_what_is_said_reaches_job_and_shape():
    job, shape = meant(
        *("--policy", "choose-two", "--probe-ratio", "1.05", "--user", "alice", "--priority=-3"),
        *("--label", "gpu,big", "--constraint", "fast", "--avoid", "lab1", "--avoid=@old,lab2"),
        *("--spread", "--preempt", "--wait"),
    )
    assert (job.policy, job.probe_ratio, job.user, shape.user) == (
        *("CHOOSE_TWO", 1.05, "alice", "alice"),
    )
    assert (shape.priority, shape.labels) == (-3, ("gpu", "big", "fast"))
    assert shape.avoid == ("lab1", "@old", "lab2")
    assert shape.is_spread
    assert shape.may_preempt
    assert shape.waits_for_machines
    assert meant("--probe-ratio", "auto")[0].probe_ratio == 0
    assert not meant("--no-cancellation")[0].has_cancellation


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "BATHC"], "did you mean BATCH"),
        (["--policy", "WORK_STEALING"], "only in the simulator"),
        (["--probe-ratio", "0.9"], "from 1 to 100"),
        (["--probe-ratio", "1e9"], "from 1 to 100"),
        (["--policy", "RANDOM", "--probe-ratio", "2"], "takes no sample"),
        (["--policy", "BATCH", "--no-cancellation"], "nothing to cancel"),
        (["--cancellation", "--no-cancellation"], "not both"),
        (["--priority", "high"], "whole number from -1000 to 1000"),
        (["--priority", "1001"], "whole number from -1000 to 1000"),
        (["--priority", "1.5"], "whole number"),
        (["--user", "a b"], "not a user name"),
        (["--user", ""], "not a user name"),
        (["--label", "@gpu"], "not the name of a label"),
        (["--label", ""], "not the name of a label"),
        (["--avoid", "@"], "not the name of a machine, or @label"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(words: list[str], said: str):
    with pytest.raises(UsageError, match=said):
        meant(*words)


def test_placement_in_words_leaves_out_what_is_as_always():
    assert placement_of(JobSpec()) == "BATCH+LATE_BINDING"
    job, shape = meant(
        *("--policy=batch", "--probe-ratio=auto", "--user=alice", "--priority=5"),
        *("--label=gpu", "--avoid=lab3", "--spread", "--preempt"),
    )
    assert placement_of(replace(job, weight=2.0, shapes=(shape,))) == (
        "BATCH, probe ratio auto, user alice (weight 2), priority 5, label gpu, not on lab3,"
        " one at a time on each machine, may preempt"
    )
    assert placement_value(job)["probe_ratio"] == "auto"
    assert priority_of(job) == 5
    assert priority_of(JobSpec()) == 0
