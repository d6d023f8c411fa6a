"""Parts of a private run are killed or stand still while items run: each is recorded once."""

import os
import subprocess
from collections import Counter

import pytest
from tests.integration.faults.laws import (
    all_succeeded,
    every_item_is_recorded_once,
    held_back,
    let_go,
    numbers,
    only_these_were_hurt,
)

from covey.testing import faults
from covey.testing.cluster import Call, Lab
from covey.testing.ending import ended
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: Far over what any takes, also on a starved machine.
pytestmark = pytest.mark.timeout(300)

ITEMS = 500
#: How often a second Ctrl-C may come later than the second in which it counts.
CTRL_C_TRIES = 10
#: The agent stands still for so long that it is taken for unreachable (3 s).
FROZEN_S = 5.0


def test_a_killed_child_costs_its_own_task_only(lab: Lab) -> None:
    run = lab.map("-j2", "echo {}", stdin=subprocess.PIPE)
    run.say(numbers(ITEMS))
    lab.await_done(1, 50)
    assert faults.kill(_a_child(run))
    run.hang_up()
    code = run.wait()
    rows = every_item_is_recorded_once(lab, ITEMS)
    only_these_were_hurt(rows, most=1)
    assert code == sum(row.state != 1 for row in rows)


def test_a_killed_child_costs_nothing_where_there_are_retries(lab: Lab) -> None:
    run = lab.map("-j2", "--retries", "3", "echo {}", stdin=subprocess.PIPE)
    run.say(numbers(ITEMS))
    lab.await_done(1, 50)
    assert faults.kill(_a_child(run))
    run.hang_up()
    assert run.wait() == 0
    all_succeeded(every_item_is_recorded_once(lab, ITEMS))


def test_a_root_killed_after_its_directory_went_leaves_nobody_waiting(lab: Lab) -> None:
    there, begun = lab.directory / "there", lab.directory / "begun"
    there.mkdir()
    run = subprocess.Popen(
        lab.command("map", "-j1", f"touch {begun}; sleep 1; echo {{}}", ":::", "a", "b"),
        cwd=there,
        env=lab.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(run):
        wait_until(begun.exists)
        there.rmdir()
        assert faults.kill(faults.PrivateParts(run.pid).root)
        _, said = run.communicate(timeout=COMMAND_MAX_S)
    assert run.returncode in (1, 2), said
    assert "cannot enter the directory" in said


def test_a_killed_zygote_costs_the_tasks_in_its_slots_only(lab: Lab) -> None:
    run = lab.map("-j2", "echo {}", stdin=subprocess.PIPE)
    run.say(numbers(ITEMS))
    lab.await_done(1, 50)
    assert faults.kill(run.parts.zygote)
    run.hang_up()
    run.wait()
    only_these_were_hurt(every_item_is_recorded_once(lab, ITEMS), most=2)


@pytest.mark.parametrize("part", ["server", "root"])
def test_a_killed_part_is_replaced_and_no_task_is_lost(lab: Lab, part: str) -> None:
    run = lab.map("-j2", "echo {}", stdin=subprocess.PIPE)
    run.say(numbers(ITEMS))
    lab.await_done(1, 50)
    assert faults.kill(getattr(run.parts, part))
    run.hang_up()
    assert run.wait() == 0, run.err
    all_succeeded(every_item_is_recorded_once(lab, ITEMS))
    assert sorted(map(int, run.out.split())) == list(range(1, ITEMS + 1))


def test_an_agent_that_stood_still_is_adopted_and_nothing_runs_twice(lab: Lab) -> None:
    started = lab.directory / "started"
    run = lab.map("-j2", f"echo {{}} >>{started}; sleep 0.5; echo {{}}", stdin=numbers(12))
    lab.await_done(1, 2)
    with faults.frozen(*faults.tree(_pid(run.parts.root))):
        faults.last(FROZEN_S)
    assert run.wait() == 0, run.err
    all_succeeded(every_item_is_recorded_once(lab, 12))
    assert sorted(map(int, started.read_text().split())) == list(range(1, 13))


def test_a_suspended_machine_goes_on_where_it_stood(lab: Lab) -> None:
    started = lab.directory / "started"
    run = lab.map("-j2", f"echo {{}} >>{started}; sleep 0.2; echo {{}}", stdin=numbers(20))
    lab.await_done(1, 2)
    with faults.frozen(*faults.tree(run.pid)):
        faults.last(FROZEN_S)
    assert run.wait() == 0, run.err
    all_succeeded(every_item_is_recorded_once(lab, 20))
    assert sorted(map(int, started.read_text().split())) == list(range(1, 21))


def test_when_the_client_is_killed_nothing_is_left_and_resume_runs_the_rest(lab: Lab) -> None:
    started = lab.directory / "started"
    command = f"echo {{}} >>{started}; {held_back(lab, behind=100)}"
    run = lab.map("-j2", command, stdin=numbers(ITEMS))
    lab.await_done(1, 50)
    # The items are all in the ledger, and so is that there are no more.
    wait_until(lambda: lab.job(1).total == ITEMS, describe=lambda: lab.job(1))
    run.kill()
    wait_until(lambda: not lab.processes(), describe=lab.left)
    before = {row.task for row in lab.outcomes(1)}
    assert lab.json("show", "1")["state"] == "interrupted"
    let_go(lab)
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    all_succeeded(every_item_is_recorded_once(lab, ITEMS))
    # What had an outcome did not run again; what ran unrecorded when it was killed did.
    assert len(again.stdout.split()) == ITEMS - len(before)
    starts = Counter(map(int, started.read_text().split()))
    assert [task for task in before if starts[task] != 1] == []


def test_the_root_and_the_client_are_killed_at_once_and_the_next_start_cleans_up(
    lab: Lab,
) -> None:
    run = lab.map("-j2", held_back(lab, behind=100), stdin=numbers(ITEMS))
    lab.await_done(1, 20)
    faults.kill_all(faults.tree(run.pid))
    run.wait()
    let_go(lab)
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    every_item_is_recorded_once(lab, lab.job(1).held)


def test_two_private_runs_at_once_have_their_own_numbers(lab: Lab) -> None:
    runs = [lab.map("-j1", "echo {}", stdin=numbers(200)) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0], [run.err for run in runs]
    jobs = lab.json("jobs")["jobs"]
    assert [(job["job"], job["state"], job["done"]) for job in jobs] == [
        (number, "succeeded", 200) for number in (1, 2, 3)
    ]
    for number in (1, 2, 3):
        all_succeeded(every_item_is_recorded_once(lab, 200, job=number))


def test_ctrl_c_stops_a_private_run_says_how_to_go_on_and_loses_nothing(lab: Lab) -> None:
    run = lab.map("-j2", held_back(lab, behind=100), stdin=numbers(300))
    wait_until(lambda: _is_all_there(lab, 300), describe=lambda: lab.job(1))
    run.interrupt()
    assert run.wait() == 130
    let_go(lab)
    assert "go on with what is left: covey resume 1" in run.err
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    all_succeeded(every_item_is_recorded_once(lab, 300))


def test_ctrl_c_twice_cancels_a_private_run(lab: Lab) -> None:
    for number in range(1, CTRL_C_TRIES + 1):
        run = lab.map("-j2", "sleep 30; echo {}", stdin=numbers(50))
        wait_until(lambda n=number: _is_all_there(lab, 50, job=n), describe=lambda r=run: r.err)
        run.interrupt()
        again = f"covey resume {number}"
        wait_until(lambda r=run, a=again: a in r.err, describe=lambda r=run: r.err)
        run.interrupt()
        assert run.wait() == 130
        if "is cancelled" in run.err:
            break
    job = lab.json("show", "last")
    assert (job["state"], job["cancelled"]) == ("cancelled", 50)
    for unfinished in range(1, job["job"]):
        assert lab("cancel", str(unfinished)).returncode == 0


def _a_child(run: Call) -> faults.Process:
    wait_until(lambda: run.parts.children)
    return run.parts.children[0]


def _is_all_there(lab: Lab, total: int, job: int = 1) -> bool:
    return any(row.total == total for row in lab.view.jobs() if row.job == job)


def _pid(process: faults.Process | None) -> int:
    assert process is not None
    return process.pid


def test_resume_goes_on_reading_items_that_the_command_line_names(lab: Lab) -> None:
    items = lab.directory / "items"
    os.mkfifo(items)
    run = lab.map("-j1", "echo {}", "::::", "items")
    with items.open("wb", buffering=0) as writer:
        writer.write(numbers(20))
        lab.await_done(1, 20)
        run.kill()
    items.unlink()
    items.write_bytes(numbers(50))
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    all_succeeded(every_item_is_recorded_once(lab, 50))
    assert sorted(map(int, again.stdout.split())) == list(range(21, 51))


def test_a_run_whose_client_was_just_killed_is_resumed_when_its_tasks_have_ended(lab: Lab) -> None:
    started = lab.directory / "started"
    # The first start ignores SIGTERM, so that its end takes the second of grace.
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    run = lab.map("-j1", f"echo {{}} >>{started}; [ $(wc -l <{started}) -gt 1 ] || {{ {deaf}; }}",
                  ":::", "a")  # fmt: skip
    wait_until(lambda: _is_all_there(lab, 1) and started.exists(), describe=lambda: run.err)
    run.kill()
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    assert started.read_text() == "a\na\n"


def test_resume_says_that_items_of_a_pipe_are_gone(lab: Lab) -> None:
    run = lab.map("-j1", "echo {}", stdin=subprocess.PIPE)
    run.say(numbers(20))
    lab.await_done(1, 20)
    run.kill()
    again = lab("resume", "1")
    assert again.returncode == 0, again.stderr
    assert "only the 20 items that came are run" in again.stderr
    all_succeeded(every_item_is_recorded_once(lab, 20))
