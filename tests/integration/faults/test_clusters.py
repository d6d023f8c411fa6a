"""Parts of a cluster are killed, cut off or stand still while items run: each is recorded once."""

import subprocess

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
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until

#: Far over what any takes, also on a starved machine.
pytestmark = pytest.mark.timeout(300)

ITEMS = 500
FROZEN_S = 5.0
#: How often a second Ctrl-C may come later than the second in which it counts.
CTRL_C_TRIES = 10


def test_a_killed_child_costs_its_own_task_only(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(ITEMS))
        lab.await_done(1, 50)
        wait_until(lambda: cluster.children("local1"))
        assert faults.kill(cluster.children("local1")[0])
        run.hang_up()
        run.wait()
        only_these_were_hurt(every_item_is_recorded_once(lab, ITEMS), most=1)


def test_the_tasks_of_a_killed_agent_run_elsewhere_and_up_brings_it_back(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("echo {}; sleep 0.01", stdin=numbers(ITEMS))
        lab.await_done(1, 50)
        assert lab("chaos", "kill", "local1").returncode == 0
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))
        wait_until(lambda: _states(lab)["local1"] == "lost", describe=lambda: _states(lab))
        again = lab.json("up", "--local", "2")["machines"]
        assert [m["name"] for m in again if m["started"]] == ["local1"]
        wait_until(
            lambda: _states(lab) == {"local1": "ready", "local2": "ready"},
            describe=lambda: _states(lab),
        )
        assert cluster.agent("local1") is not None


def test_the_next_up_says_which_jobs_it_goes_on_with(lab: Lab) -> None:
    with lab.cluster():
        run = lab.map(held_back(lab), ":::", "a", "b")
        wait_until(lambda: lab.view.jobs() and lab.view.job(1).total)
        run.kill()
    again = lab("up", "--local", "1")
    try:
        assert "job 1 goes on, left open before: covey attach 1" in again.stderr
        let_go(lab)
        assert lab("attach", "1").returncode == 0
        # And of none, when there is none.
        assert lab("down").returncode == 0
        assert "left open" not in lab("up", "--local", "1").stderr
    finally:
        lab("down")


def test_a_killed_bus_server_is_started_again_by_the_head(lab: Lab) -> None:
    with lab.cluster() as cluster:
        before = cluster.server
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(ITEMS))
        lab.await_done(1, 50)
        assert faults.kill(before)
        run.hang_up()
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))
        assert cluster.server not in (None, before)


def test_the_next_head_adopts_server_agents_and_what_runs(lab: Lab) -> None:
    started = lab.directory / "started"
    with lab.cluster() as cluster:
        agents, server = cluster.agents, cluster.server
        run = lab.map(f"echo {{}} >>{started}; sleep 0.1; echo {{}}", stdin=numbers(60))
        lab.await_done(1, 5)
        assert faults.kill(cluster.head)
        lab.up()
        assert run.wait() == 0, run.err
        assert (cluster.agents, cluster.server) == (agents, server)
        all_succeeded(every_item_is_recorded_once(lab, 60))
        assert sorted(map(int, started.read_text().split())) == list(range(1, 61))


def test_a_client_says_that_the_head_is_away_and_goes_on_when_it_is_back(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(20))
        lab.await_done(1, 20)
        assert faults.kill(cluster.head)
        wait_until(lambda: "the head does not answer" in run.err, describe=lambda: run.err)
        run.say(b"21\n")
        lab.up()
        run.say(b"22\n")
        run.hang_up()
        assert run.wait() == 0, run.err
        assert "the head answers again" in run.err
        all_succeeded(every_item_is_recorded_once(lab, 22))


def test_head_and_server_killed_together_come_back_together(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("echo {}; sleep 0.01", stdin=numbers(ITEMS))
        lab.await_done(1, 50)
        assert faults.kill_all([cluster.head, cluster.server]) == 2
        lab.up()
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))


def test_everything_killed_at_once_comes_back_with_the_next_up(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("echo {}; sleep 0.01", stdin=numbers(ITEMS))
        wait_until(lambda: _total(lab) == ITEMS, describe=lambda: run.err)
        faults.kill_all(cluster.all)
        run.kill()
        lab.up()
        wait_until(lambda: lab.job(1).state == "succeeded", describe=lambda: lab.job(1))
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))


def test_everything_killed_at_once_leaves_nothing_after_down(lab: Lab) -> None:
    with lab.cluster() as cluster:
        run = lab.map("sleep 30; echo {}", stdin=numbers(20))
        wait_until(lambda: _total(lab) == 20, describe=lambda: run.err)
        faults.kill_all(cluster.all)
        run.kill()


def test_an_agent_that_stood_still_is_adopted_where_no_other_could_take_over(lab: Lab) -> None:
    started = lab.directory / "started"
    with lab.cluster(machines=1, slots=2):
        run = lab.map(f"echo {{}} >>{started}; sleep 0.3; echo {{}}", stdin=numbers(16))
        lab.await_done(1, 2)
        assert lab("chaos", "freeze", "local1", "--for", f"{FROZEN_S}s").returncode == 0
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, 16))
        assert sorted(map(int, started.read_text().split())) == list(range(1, 17))


@pytest.mark.parametrize("how", ["freeze", "cut"])
def test_the_others_go_on_while_a_machine_is_away_and_it_comes_back(lab: Lab, how: str) -> None:
    with lab.cluster():
        run = lab.map("echo {}; sleep 0.02", stdin=numbers(ITEMS))
        lab.await_done(1, 50)
        assert lab("chaos", how, "local1", "--for", f"{FROZEN_S}s").returncode == 0
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))
        wait_until(
            lambda: _states(lab) == {"local1": "ready", "local2": "ready"},
            describe=lambda: _states(lab),
        )


def test_a_machine_that_a_dead_head_had_cut_off_or_frozen_comes_back_with_the_next(
    lab: Lab,
) -> None:
    with lab.cluster() as cluster:
        assert lab("chaos", "cut", "local1", "--for", "1h").returncode == 0
        assert lab("chaos", "freeze", "local2", "--for", "1h").returncode == 0
        faults.kill(cluster.head)
        lab.up()
        wait_until(
            lambda: _states(lab) == {"local1": "ready", "local2": "ready"},
            describe=lambda: _states(lab),
        )


def test_a_suspended_computer_goes_on_where_it_stood(lab: Lab) -> None:
    started = lab.directory / "started"
    with lab.cluster() as cluster:
        run = lab.map(f"echo {{}} >>{started}; sleep 0.2; echo {{}}", stdin=numbers(30))
        lab.await_done(1, 2)
        with faults.frozen(*cluster.all, run.parts.client):
            faults.last(FROZEN_S)
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, 30))
        assert sorted(map(int, started.read_text().split())) == list(range(1, 31))


def test_a_job_outlives_its_client_and_can_be_attached_to(lab: Lab) -> None:
    with lab.cluster():
        run = lab.map("echo {}; sleep 0.02", stdin=numbers(ITEMS))
        wait_until(lambda: _total(lab) == ITEMS, describe=lambda: run.err)
        run.kill()
        attached = lab("attach", "1")
        assert attached.returncode == 0, attached.stderr
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))


def test_a_job_whose_client_was_killed_while_it_read_items_ends_with_those_it_has(
    lab: Lab,
) -> None:
    with lab.cluster():
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(30))
        lab.await_done(1, 30)
        run.kill()
        wait_until(lambda: lab.job(1).state == "succeeded", describe=lambda: lab.job(1))
        all_succeeded(every_item_is_recorded_once(lab, 30))
        assert "client ended" in " ".join(event.text for event in lab.view.events(1))


def test_a_client_that_stands_still_while_it_reads_items_is_waited_for(lab: Lab) -> None:
    with lab.cluster():
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(30))
        lab.await_done(1, 30)
        with faults.frozen(run.parts.client):
            faults.last(FROZEN_S)
        run.say(b"31\n")
        run.hang_up()
        assert run.wait() == 0, run.err
        all_succeeded(every_item_is_recorded_once(lab, 31))


def test_ctrl_c_says_how_to_come_back_and_leaves_the_job_running(lab: Lab) -> None:
    with lab.cluster():
        run = lab.map(held_back(lab, behind=100), stdin=numbers(ITEMS))
        wait_until(lambda: _total(lab) == ITEMS, describe=lambda: run.err)
        run.interrupt()
        assert run.wait() == 130
        assert "covey attach 1" in run.err
        assert "covey cancel 1" in run.err
        let_go(lab)
        assert lab("attach", "1").returncode == 0
        all_succeeded(every_item_is_recorded_once(lab, ITEMS))


def test_ctrl_c_while_items_are_read_leaves_a_job_that_ends_with_those_it_has(lab: Lab) -> None:
    with lab.cluster():
        run = lab.map("echo {}", stdin=subprocess.PIPE)
        run.say(numbers(30))
        lab.await_done(1, 30)
        run.interrupt()
        assert run.wait() == 130
        assert "it has 30 items" in run.err
        assert lab("attach", "1").returncode == 0
        all_succeeded(every_item_is_recorded_once(lab, 30))


def test_ctrl_c_twice_cancels_the_job(lab: Lab) -> None:
    with lab.cluster():
        for number in range(1, CTRL_C_TRIES + 1):
            run = lab.map("sleep 30; echo {}", stdin=numbers(20))
            wait_until(lambda n=number: _total(lab, job=n) == 20, describe=lambda r=run: r.err)
            run.interrupt()
            again = f"covey attach {number}"
            wait_until(lambda r=run, a=again: a in r.err, describe=lambda r=run: r.err)
            run.interrupt()
            assert run.wait() == 130
            if "is cancelled" in run.err:
                break
        last = max(row.job for row in lab.view.jobs())
        wait_until(lambda: lab.job(last).state == "cancelled", describe=lambda: lab.job(last))
        assert lab.job(last).cancelled == 20


def test_when_the_cluster_is_taken_down_its_clients_say_so_and_the_next_up_goes_on(
    lab: Lab,
) -> None:
    with lab.cluster():
        run = lab.map(held_back(lab, behind=20), stdin=numbers(60))
        wait_until(lambda: _total(lab) == 60, describe=lambda: run.err)
        assert lab("down").returncode == 0
        assert run.wait() == 255
        assert "the cluster was taken down" in run.err
        let_go(lab)
        lab.up()
        assert lab("attach", "1").returncode == 0
        all_succeeded(every_item_is_recorded_once(lab, 60))


def _states(lab: Lab) -> dict[str, str]:
    return lab.states()


def _total(lab: Lab, job: int = 1) -> int | None:
    rows = [row for row in lab.view.jobs() if row.job == job]
    return rows[0].total if rows else None
