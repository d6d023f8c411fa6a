"""Against real processes: there is nothing to imitate /proc with."""

import os
import subprocess
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

from covey.agent import proctree
from covey.testing.ending import ended
from covey.testing.waiting import wait_until

#: One in ten would come between two programs.
LOOKS = 40


@pytest.fixture
def owner() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def tree(owner: str) -> Generator[subprocess.Popen[bytes]]:
    """A shell, and below it a shell that ignores SIGTERM and has a session of its own."""
    script = "setsid sh -c \"trap '' TERM; while :; do sleep 0.05; done\" & sleep 60 & wait"
    env = os.environ | {"COVEY_OWNER": owner}
    with ended(subprocess.Popen(["sh", "-c", script], env=env)) as process:
        try:
            wait_until(lambda: len(proctree.descendants(process.pid)) >= 3)
            yield process
        finally:
            proctree.kill_orphans(owner, 0.0)


def test_descendants_are_found_whatever_their_session(tree: subprocess.Popen[bytes]) -> None:
    assert tree.pid in proctree.children(os.getpid())
    assert len(proctree.children(tree.pid)) == 2
    # The inner shell has a child now and then.
    wait_until(lambda: len(proctree.descendants(tree.pid)) >= 3)


def test_without_the_files_of_the_kernel_parents_are_asked(
    tree: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = sorted(proctree.children(tree.pid))
    real = os.listdir

    def without_tasks(path: str) -> list[str]:
        if path.endswith("/task"):
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", without_tasks)
    assert sorted(proctree.children(tree.pid)) == listed


def test_orphans_are_found_by_their_owner_and_ended(
    tree: subprocess.Popen[bytes], owner: str
) -> None:
    assert tree.pid in [p.pid for p in proctree.find_owned(owner)]
    assert proctree.kill_orphans(owner, 0.2) >= 3
    assert proctree.find_owned(owner) == []
    assert tree.wait(60) != 0


def test_a_process_that_becomes_another_program_all_the_time_is_found_each_time(
    owner: str, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.write_text(f"exec /bin/sh {again}\n")
    with ended(subprocess.Popen(["/bin/sh", again], env={"COVEY_OWNER": owner})) as process:
        looks = [[found.pid for found in proctree.find_owned(owner)] for _ in range(LOOKS)]
    assert looks == [[process.pid]] * LOOKS


def test_an_owner_that_is_only_the_beginning_of_another_finds_nothing(
    tree: subprocess.Popen[bytes], owner: str
) -> None:
    assert proctree.find_owned(owner[:-1]) == []
    assert proctree.kill_orphans(owner[:-1]) == 0
    assert tree.poll() is None


def test_a_process_is_its_pid_and_its_start(tree: subprocess.Popen[bytes]) -> None:
    process = proctree.identify(tree.pid)
    assert process is not None
    other = proctree.Process(process.pid, process.started + 1)
    assert proctree.end_all([other], 0.0) == 0
    assert tree.poll() is None


def test_a_zombie_or_nobody_is_no_process() -> None:
    process = subprocess.Popen(["true"])
    wait_until(lambda: proctree.identify(process.pid) is None)
    assert process.wait(60) == 0
    assert proctree.identify(process.pid) is None
    assert proctree.children(process.pid) == []
    proctree.signal_all([process.pid], 15)
