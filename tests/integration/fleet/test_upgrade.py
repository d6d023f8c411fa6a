"""Another covey takes over machines while jobs run: one by one, at once, and back again."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, Room, room_of

import covey
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


@contextmanager
def another_covey(room: Room, changes: dict[str, tuple[str, str]]) -> Generator[None]:
    """Inside, `room.lab` is a covey with other text in some of its files."""
    root = room.lab.directory / "other"
    source = Path(covey.__file__).parent
    shutil.copytree(source, root / "covey", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (old, new) in changes.items():
        path = root / "covey" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    room.lab.env["PYTHONPATH"] = str(root)
    try:
        yield
    finally:
        del room.lab.env["PYTHONPATH"]
        shutil.rmtree(root)


#: Another version, and so another archive.
NEWER = {"_version.py": ('VERSION = "', 'VERSION = "9.')}


def _versions(room: Room) -> dict[str, str]:
    return {name: str(room.row(name)["version"])[:2] for name in ("lab1", "lab2")}


def test_a_newer_covey_replaces_agents_one_by_one_after_their_tasks(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        head, agents = room.head(), [room.agent(name) for name in ("lab1", "lab2")]
        marks = room.lab.directory / "starts"
        marks.mkdir()
        job = room.lab.map(
            f"mktemp {marks}/{{}}.XXXX; sleep 2; echo {{}}", ":::", *map(str, range(8))
        )
        wait_until(
            lambda: len(list(marks.iterdir())) >= 2, describe=lambda: job.err, timeout_s=LONG_S
        )
        with another_covey(room, NEWER):
            told = room.up("lab1", "lab2")
            assert {row["state"] for row in told.values()} == {"replaced"}
            # The head is of the new version too: it may be replaced at any moment.
            assert room.head().pid != head.pid
            assert set(_versions(room).values()) == {"9."}
            assert not {room.agent(name) for name in ("lab1", "lab2")} & set(agents)
            assert set(room.lab.states().values()) == {"ready"}
            assert job.wait() == 0, job.err
        # Nothing was started twice, nothing lost.
        starts = sorted(path.name.split(".")[0] for path in marks.iterdir())
        assert starts == sorted(map(str, range(8)))
        assert sorted(job.out.split()[1::2]) == sorted(str(n).encode() for n in range(8))


def test_now_replaces_at_once_and_rollback_takes_the_covey_before(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2")
        first = room.remote("lab1").archive
        with another_covey(room, NEWER):
            told = room.up("--now")
            assert {row["state"] for row in told.values()} == {"replaced"}
            assert room.remote("lab1").archive != first
            back = room.up("--rollback", "--now")
            assert {row["state"] for row in back.values()} == {"replaced"}
            assert room.remote("lab1").archive == first
            assert set(room.lab.states().values()) == {"ready"}


def test_an_agent_of_another_protocol_is_replaced_without_being_asked(archives: Path) -> None:
    with room_of(archives) as room:
        with another_covey(room, {"wire/messages.py": ("PROTOCOL = ", "PROTOCOL = 900 + ")}):
            room.up("lab1")
        old = room.agent("lab1")
        os.kill(room.head().pid, 9)
        told = room.up("lab1")
        assert told["lab1"]["state"] == "replaced"
        assert room.agent("lab1") != old
        assert room.lab("map", "echo {}", ":::", "a").returncode == 0
