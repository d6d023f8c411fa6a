"""Rows about commands over items: what is run, how often, and what is remembered."""

import csv
import json
import os

import pytest
from tests.conformance.conftest import CommandLine

from covey.testing.ending import end
from covey.testing.waiting import wait_until

#: Items that shells and careless quoting trip over.
NASTY = ["a b", "$(touch pwned)", "`id`", "'", '"', "a;b", "-n", "*", "\\", "a\tb", "ü€", "a'b\"c"]


@pytest.mark.row(23)
def test_a_command_runs_once_for_each_item_in_order(covey: CommandLine):
    done = covey("map", "-k", "echo {#}:{}", ":::", "one", "two", "three")
    assert (done.code, done.out) == (0, "1:one\n2:two\n3:three\n")


@pytest.mark.row(23)
def test_an_item_is_data_and_never_becomes_code(covey: CommandLine):
    done = covey("map", "-k", "printf '%s\\n' {}", ":::", *NASTY)
    assert done.out == "".join(item + "\n" for item in NASTY)
    assert list(covey.directory.iterdir()) == []


@pytest.mark.row(23)
def test_an_item_may_hold_any_byte_but_nul(covey: CommandLine):
    items = ["line\nbreak", "".join(map(chr, range(1, 128)))]
    done = covey("map", "-0", "-k", "printf %s {} | wc -c", stdin="\0".join(items).encode())
    assert [int(line) for line in done.out.split()] == [len(item) for item in items]


@pytest.mark.row(23)
def test_items_come_from_files_from_standard_input_and_as_products(covey: CommandLine):
    (covey.directory / "list").write_text("x\ny\n")
    assert covey("map", "-k", "echo", "::::", "list").out == "x\ny\n"
    assert covey("map", "-k", "echo", stdin=b"p\nq\n").out == "p\nq\n"
    crossed = covey("map", "-k", "echo {1}{2}", ":::", "a", "b", ":::", "1", "2")
    assert crossed.out == "a1\na2\nb1\nb2\n"


@pytest.mark.row(23)
def test_an_empty_list_is_no_error(covey: CommandLine):
    assert covey("map", "echo {}", stdin=b"").code == 0


@pytest.mark.row(25)
def test_the_exit_code_counts_the_failed_items(covey: CommandLine):
    assert covey("map", "exit {}", ":::", "0", "1", "2").code == 2
    assert covey("map", "-j8", "false {}", ":::", *map(str, range(102))).code == 101
    assert covey("map", "--no-such-option", "true", ":::", "a").code == 255


@pytest.mark.row(25)
def test_the_joblog_has_a_row_for_each_item(covey: CommandLine):
    covey("map", "--joblog", "log.tsv", "test {} -lt 3", ":::", "1", "2", "3")
    with (covey.directory / "log.tsv").open(newline="") as stream:
        rows = sorted(csv.DictReader(stream, delimiter="\t"), key=lambda row: int(row["Seq"]))
    assert [(row["Seq"], row["Exitval"]) for row in rows] == [("1", "0"), ("2", "0"), ("3", "1")]
    assert rows[2]["Command"] == "test 3 -lt 3"


@pytest.mark.row(25)
def test_resume_skips_what_the_joblog_holds_and_resume_failed_does_not(covey: CommandLine):
    command = ("echo {} >>ran; test {} != b", ":::", "a", "b")
    covey("map", "--joblog", "log.tsv", *command)
    covey("map", "--joblog", "log.tsv", "--resume", *command, "c")
    assert sorted((covey.directory / "ran").read_text().split()) == ["a", "b", "c"]
    covey("map", "--joblog", "log.tsv", "--resume-failed", *command, "c")
    assert sorted((covey.directory / "ran").read_text().split()) == ["a", "b", "b", "c"]


@pytest.mark.row(25)
def test_a_killed_run_is_resumed_and_each_item_recorded_once(covey: CommandLine):
    # It cannot be over before it is killed.
    command = "echo {} >>ran; [ {} -lt 20 ] || while [ ! -e let-go ]; do sleep 0.05; done"
    client = covey.start("map", "-j2", command, ":::", *map(str, range(60)))
    ran = covey.directory / "ran"
    wait_until(lambda: ran.exists() and len(ran.read_text().split()) >= 10, describe="ten items")
    end(client)
    wait_until(lambda: not covey.processes(), describe=lambda: f"left: {covey.processes()}")
    (covey.directory / "let-go").touch()
    resumed = covey("resume", "last")
    assert resumed.code == 0, resumed.err
    assert set(ran.read_text().split()) == {str(n) for n in range(60)}
    rows = covey("joblog", "last").out.splitlines()[1:]
    assert sorted(int(row.split("\t")[0]) for row in rows) == list(range(1, 61))


@pytest.mark.row(20)
def test_a_failing_task_is_started_as_often_as_retries_says(covey: CommandLine):
    done = covey("map", "--retries", "3", "echo x >>{}; test $(wc -l <{}) = 3", ":::", "tries")
    assert (done.code, (covey.directory / "tries").read_text()) == (0, "x\n" * 3)


@pytest.mark.row(20)
def test_a_task_over_its_time_limit_is_killed_with_its_children(covey: CommandLine):
    done = covey("map", "--timeout", "0.5", "sh -c 'sleep 300 & wait'; true", ":::", "a")
    assert done.code == 1
    wait_until(lambda: not covey.processes(), describe=lambda: f"left: {covey.processes()}")


@pytest.mark.row(30)
def test_slots_default_to_the_cpus_the_process_may_use(covey: CommandLine):
    here = json.loads(covey("status", "--json").out)["this_machine"]
    assert len(os.sched_getaffinity(0)) >= here["slots"] >= 1
    assert here["slots_from"]


@pytest.mark.row(30)
@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_tasks_run_at_once_than_asked_for(covey: CommandLine, jobs: int):
    # The first of them wait for each other: the slots need not all be there at once.
    met = f"until [ $(ls begun.* | wc -l) -ge {jobs} ]; do sleep 0.05; done"
    script = f"touch run.{{#}} begun.{{#}}; {met}; ls run.* | wc -l; sleep 0.2; rm run.{{#}}"
    done = covey("map", f"-j{jobs}", script, ":::", *map(str, range(7)))
    assert max(int(line) for line in done.out.split()) == jobs


@pytest.mark.row(38)
def test_the_output_of_each_task_can_be_read_again(covey: CommandLine):
    covey("map", "echo out {}; echo err {} >&2", ":::", "a", "b")
    assert "out b" in covey("logs", "last.2").out
    everything = covey("logs", "last")
    assert {"out a", "out b"} <= set((everything.out + everything.err).splitlines())


@pytest.mark.row(19)
def test_closures_and_classes_of_the_script_travel_to_child_processes(covey: CommandLine):
    (covey.directory / "beside.py").write_text("def double(n):\n    return 2 * n\n")
    (covey.directory / "script.py").write_text(
        "import covey, beside\n"
        "class Box:\n"
        "    def __init__(self, n): self.n = n\n"
        "offset = 100\n"
        "with covey.Executor(max_workers=2) as executor:\n"
        "    boxes = list(executor.map(lambda n: Box(beside.double(n) + offset), range(4)))\n"
        "    print([box.n for box in boxes])\n"
    )
    assert covey.python("script.py").out == "[100, 102, 104, 106]\n"
