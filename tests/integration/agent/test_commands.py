"""Commands in runners: output, exit, surroundings, limits, and what they leave behind."""

import os
import time
import uuid
from pathlib import Path

import pytest
from tests.integration.agent.rig import (
    FAILED,
    SUCCEEDED,
    Rig,
    command,
    encode_command,
    live,
    shell,
)

from covey.model.task import OutcomeState
from covey.testing.waiting import happens

CANCELLED, TIMED_OUT = OutcomeState.CANCELLED, OutcomeState.TIMED_OUT
#: How often a tail may get no processor within the moment that it is given.
TRIES = 20


def item(*args: str) -> list[bytes]:
    return [encode_command([os.fsencode(arg) for arg in args])]


@pytest.fixture
def marker() -> str:
    """A word by which the processes of one test are found."""
    return "m" + uuid.uuid4().hex[:12]


async def test_output_and_errors_are_kept_apart_and_exact(rig: Rig) -> None:
    done = await rig.run(shell("printf 'a\\000b'; printf oops >&2"))
    report = done.report
    assert done.state is SUCCEEDED
    assert (report.out, report.err) == (b"a\0b", b"oops")
    assert (report.out_size, report.err_size, report.exit, report.signal) == (3, 4, 0, 0)
    assert report.ended >= report.started > time.time() - 60
    assert report.rss_bytes > 0
    assert report.slot == 1


async def test_each_task_has_its_own_output(rig: Rig) -> None:
    done = await rig.run(command("echo"), [*item("one"), *item("two"), *item("")])
    assert [r.out for r in done.reports] == [b"one\n", b"two\n", b"\n"]


async def test_a_program_that_needs_no_shell_is_run_without_one(rig: Rig) -> None:
    done = await rig.run(command("readlink", "/proc/self/exe", "{#}"), item("x"))
    assert done.report.out.endswith(b"readlink\n")


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 7", 7, 0), ("kill -9 $$", 0, 9), ("kill -TERM $$", 0, 15), ("exit 255", 255, 0)],
)
async def test_exit_status_and_signal_are_told_apart(
    rig: Rig, script: str, code: int, number: int
) -> None:
    done = await rig.run(shell(script))
    assert done.state is FAILED
    assert (done.report.exit, done.report.signal) == (code, number)


async def test_processor_time_is_measured(rig: Rig) -> None:
    done = await rig.run(shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"))
    assert 0.01 < done.report.cpu_s < 10


async def test_an_unknown_program_is_127_and_says_so(rig: Rig) -> None:
    report = (await rig.run(command("no-such-program-here"), item("x"))).report
    assert report.exit == 127
    assert b"no-such-program-here: command not found" in report.err
    assert report.err_size == len(report.err)


async def test_a_file_that_is_no_program_is_126(rig: Rig) -> None:
    path = rig.directory / "plain"
    path.write_text("echo hi")
    report = (await rig.run(command(str(path)), item("x"))).report
    assert report.exit == 126
    assert b"Permission denied" in report.err


async def test_a_script_without_a_first_line_runs_as_shells_run_it(rig: Rig) -> None:
    path = rig.directory / "script"
    path.write_text('echo "script $1"\n')
    path.chmod(0o755)
    report = (await rig.run(command(str(path)), item("x"))).report
    assert report.out == b"script x\n"


async def test_a_directory_that_is_not_there_is_said(rig: Rig) -> None:
    done = await rig.run(command("pwd", "{#}", cwd="/no/such/directory"), item("x"))
    assert done.state is FAILED
    assert done.report.exit == 126
    said = done.report.err.decode()
    assert "cannot enter the directory /no/such/directory: No such file or directory" in said
    assert "make it on every machine" in said


async def test_an_item_with_a_nul_fails_alone_and_says_what_it_may_have_meant(rig: Rig) -> None:
    done = await rig.run(command("echo"), item("a\0b") + item("c"))
    assert [report.exit for report in done.reports] == [126, 0]
    assert "no argument can hold a NUL" in done.reports[0].err.decode()
    assert "--null" in done.reports[0].err.decode()


async def test_an_argument_list_over_the_limit_of_the_kernel_is_a_failure(rig: Rig) -> None:
    done = await rig.run(command("true"), item("x" * 3_000_000))
    assert done.report.exit == 126
    assert b"Argument list too long" in done.report.err


async def test_the_environment_is_that_of_the_context_and_the_variables_of_covey(rig: Rig) -> None:
    context = shell("env", env={"PATH": os.environ["PATH"], "MINE": "x"})
    done = await rig.run(context, item("a b") * 2, first=41)
    got = dict(line.split("=", 1) for line in done.reports[1].out.decode().splitlines())
    for name in ("_", "PWD", "SHLVL", "PATH"):
        got.pop(name, None)
    assert got == {
        "MINE": "x",
        "COVEY_JOB_ID": "7",
        "COVEY_TASK_ID": "42",
        "COVEY_ATTEMPT": "1",
        "COVEY_ITEM": "a b",
        "COVEY_SLOT": "1",
        "COVEY_MACHINE": "here",
        "COVEY_CPUS": "1",
        "COVEY_OWNER": rig.owner,
        "PARALLEL_SEQ": "42",
        "PARALLEL_JOBSLOT": "1",
    }


async def test_an_item_of_any_bytes_arrives(rig: Rig) -> None:
    odd = b"\xff '\"\n$HOME;#*"
    done = await rig.run(command("printf", "%s", "{}"), [encode_command([odd])])
    assert done.report.out == odd


async def test_standard_input_is_empty_or_what_the_payload_says(rig: Rig) -> None:
    payloads = [encode_command([]), encode_command([], b"l1\nl2\n"), encode_command([], b"")]
    done = await rig.run(shell("cat"), payloads)
    assert [r.out for r in done.reports] == [b"", b"l1\nl2\n", b""]


async def test_programs_get_default_signals_and_no_descriptors_of_ours(rig: Rig) -> None:
    done = await rig.run(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd"))
    lines = done.report.out.decode().split()
    # But for 32 and 33, which the C library keeps to itself.
    assert [int(mask, 16) & 0x7FFFFFFF for mask in (lines[1], lines[3])] == [0, 0]
    assert lines[4:] == ["0", "1", "2", "3"]


async def test_a_command_has_a_group_of_its_own_and_no_terminal(rig: Rig) -> None:
    done = await rig.run(shell("ps -o pid=,pgid=,tty= -p $$"))
    pid, group, terminal = done.report.out.split()
    assert pid == group
    assert terminal == b"?"


async def test_a_task_without_a_directory_gets_one_that_goes_when_it_is_empty(rig: Rig) -> None:
    done = await rig.run(shell("pwd; test {#} = 2 && touch kept", cwd=""), item("a") + item("b"))
    first, second = (Path(r.out.decode().strip()) for r in done.reports)
    assert first != second
    assert first.is_relative_to(rig.directory / "work")
    assert not first.exists()
    assert (second / "kept").exists()


async def test_a_niceness_is_given(rig: Rig) -> None:
    done = await rig.run(shell("nice"), nice=7)
    plain = await rig.run(shell("nice"))
    assert int(done.report.out) == int(plain.report.out) + 7


async def test_a_payload_that_cannot_be_read_fails_its_task_only(rig: Rig) -> None:
    done = await rig.run(command("echo"), [b"\xc1", *item("on")])
    assert done.states == [FAILED, SUCCEEDED]
    assert b"cannot be read" in done.reports[0].err


async def test_a_context_that_cannot_be_read_fails_its_tasks(rig: Rig) -> None:
    done = await rig.run(b"\x95\x01\x07\xc4\x00\x80\xc4\x00", item("a") + item("b"))
    assert done.states == [FAILED, FAILED]
    assert done.reports[1].error is not None


async def test_a_program_that_moved_is_found_again(rig: Rig) -> None:
    one, two = rig.directory / "one", rig.directory / "two"
    for place in (one, two):
        place.mkdir()
        (place / "prog").write_text(f"#!/bin/sh\necho {place.name}\n")
        (place / "prog").chmod(0o755)
    context = command("prog", "{#}", env={"PATH": f"{one}:{two}:/usr/bin:/bin"})
    assert (await rig.run(context, item("x"))).report.out == b"one\n"
    (one / "prog").unlink()
    assert (await rig.run(context, item("x"))).report.out == b"two\n"


# ---------------------------------------------------------------- output


async def test_output_over_the_limit_keeps_its_first_and_last_half(rig: Rig) -> None:
    done = await rig.run(shell("seq 100000"), output_max_bytes=1000)
    report = done.report
    assert report.out_size == 588895
    assert report.out.startswith(b"1\n2\n3\n")
    assert report.out.endswith(b"99999\n100000\n")
    assert b"[covey: 587895 bytes left out]" in report.out
    assert len(report.out) < 1100


async def test_output_far_over_the_limit_does_not_fill_the_disk(rig: Rig) -> None:
    script = "head -c 300000000 /dev/zero; sleep 0.6; echo end; sleep 30"
    done = rig.start(shell(script), output_max_bytes=1 << 20)
    await happens(lambda: rig.slots.read_output(1, 1, 1, 300_000_000, 10) == b"end\n")

    def used() -> int:
        """What the file that it writes to takes on the disk."""
        fds = Path(f"/proc/{rig.slots.read_pid(1)}/fd").iterdir()
        (out,) = {(s.st_ino, s.st_blocks) for s in map(os.stat, fds) if s.st_size >= 300_000_000}
        return 512 * out[1]

    await happens(lambda: used() < 100_000_000, describe=used)
    rig.slots.kill(1, [1])
    await rig.over(done)
    assert done.report.out_size == 300_000_004
    assert done.report.out.endswith(b"end\n")


async def test_the_output_of_a_running_command_can_be_read(rig: Rig) -> None:
    done = rig.start(shell("echo first; echo wrong >&2; sleep 60"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 100) == b"first\n")
    await happens(lambda: rig.slots.read_output(1, 1, 2, 2, 100) == b"ong\n")
    assert rig.slots.read_output(1, 2, 1, 0, 100) == b""
    assert rig.slots.read_output(2, 1, 1, 0, 100) == b""
    rig.slots.kill(1, [1])
    await rig.over(done)
    assert rig.slots.read_output(1, 1, 1, 0, 100) == b""
    assert done.report.out == b"first\n"


# ---------------------------------------------------------------- limits, cancel


async def test_a_time_limit_kills_the_whole_tree(rig: Rig, marker: str) -> None:
    script = f"(sleep 60; : {marker}) & setsid sh -c 'sleep 60; : {marker}' & wait"
    began = time.monotonic()
    done = await rig.run(shell(script), time_limit_s=0.3)
    assert done.state is TIMED_OUT
    assert 0.3 <= time.monotonic() - began < 20
    assert done.report.signal == 15
    assert not live(marker)


async def test_cancel_kills_the_whole_tree_and_what_ignores_sigterm(rig: Rig, marker: str) -> None:
    script = f"trap '' TERM; echo up; while :; do sleep 0.1; : {marker}; done"
    done = rig.start(shell(script), item("a") + item("b"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    rig.slots.kill(1, [1, 2])
    await rig.over(done)
    assert done.states == [CANCELLED, CANCELLED]
    assert done.reports[0].signal == 9
    assert not live(marker)


async def test_cancel_of_a_waiting_task_lets_the_running_one_be(rig: Rig) -> None:
    gate = rig.directory / "gate"
    script = f"echo up; until test -e {gate}; do sleep 0.02; done"
    done = rig.start(shell(script), item("a") + item("b") + item("c"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    rig.slots.kill(1, [2])
    gate.touch()
    await rig.over(done)
    assert done.states == [SUCCEEDED, CANCELLED, SUCCEEDED]


async def test_cancel_reaches_a_command_that_is_stopped(rig: Rig) -> None:
    done = rig.start(shell("echo up; kill -STOP $$"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    rig.slots.kill(1, [1])
    await rig.over(done)
    assert done.state is CANCELLED


async def test_results_of_a_chunk_do_not_wait_for_a_slow_command(rig: Rig) -> None:
    done = rig.start(command("sleep"), item("0") + item("60"))
    await happens(lambda: done.states == [SUCCEEDED])
    rig.slots.kill(1, [2])
    await rig.over(done)


# ---------------------------------------------------------------- what is left behind


async def test_a_background_process_does_not_outlive_its_task(rig: Rig, marker: str) -> None:
    script = f"sh -c 'sleep 60; : {marker}' & (setsid sh -c 'sleep 60; : {marker}' &) ; echo done"
    done = await rig.run(shell(script))
    assert done.state is SUCCEEDED
    assert done.report.out == b"done\n"
    assert not live(marker)


async def test_the_tail_of_a_process_substitution_is_waited_for(rig: Rig) -> None:
    outs: list[bytes] = []
    for _ in range(TRIES):
        done = await rig.run(shell("(sleep 0.01; echo late) & echo soon"))
        outs.append(done.report.out)
        if outs[-1] == b"soon\nlate\n":
            break
    assert outs[-1] == b"soon\nlate\n", outs


async def test_a_stray_writer_does_not_reach_the_next_task(rig: Rig, marker: str) -> None:
    # It has written, and ignores SIGTERM, before the task ends.
    up = rig.directory / "up"
    stray = f"trap '' TERM; echo stray; touch {up}; while :; do echo stray; : {marker}; done"
    script = f"({stray}) & until test -e {up}; do sleep 0.01; done; echo {{}}"
    done = await rig.run(shell(script), item("a"))
    assert not live(marker)
    after = await rig.run(command("echo"), item("clean"))
    assert after.report.out == b"clean\n"
    assert done.report.out_size > 2


async def test_a_killed_runner_takes_its_command_along(rig: Rig, marker: str) -> None:
    done = rig.start(shell(f"echo up; sleep 60; : {marker}"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    os.kill(rig.slots.read_pid(1), 9)
    await rig.over(done)
    assert done.state is OutcomeState.CRASHED
    assert done.report.error is not None
    assert "SIGKILL" in done.report.error[1]
    await happens(lambda: not live(marker))
    assert (await rig.run(command("echo"), item("on"))).report.out == b"on\n"


async def test_a_killed_zygote_takes_every_command_along(rig: Rig, marker: str) -> None:
    done = rig.start(shell(f"echo up; trap '' TERM; while :; do sleep 0.1; : {marker}; done"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    rig.zygote.kill()
    await rig.over(done)
    await happens(lambda: not live(marker))
    assert (await rig.run(command("echo"), item("on"))).report.out == b"on\n"


async def test_close_ends_what_runs(rig: Rig, marker: str) -> None:
    done = rig.start(shell(f"trap '' TERM; echo up; while :; do sleep 0.1; : {marker}; done"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    began = time.monotonic()
    await rig.slots.close(0.5)
    await happens(lambda: not live(marker))
    assert time.monotonic() - began < 25
    assert not done.states


async def test_a_slot_child_that_is_stopped_is_killed_by_cancel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.agent.slots.RUNNER_GRACE_S", 0.3)
    done = rig.start(shell("echo up; sleep 60"))
    await happens(lambda: rig.slots.read_output(1, 1, 1, 0, 9))
    os.kill(rig.slots.read_pid(1), 19)
    rig.slots.kill(1, [1])
    await rig.over(done)
    assert done.state is CANCELLED


async def test_many_small_commands_all_come_back(rig: Rig) -> None:
    done = await rig.run(command("echo"), [p for n in range(300) for p in item(str(n))])
    assert [r.out for r in done.reports] == [b"%d\n" % n for n in range(300)]
