"""Directories made for tasks: noted, and removed only while they are the very same."""

import os
from pathlib import Path

from covey.agent.outputs import NAME, Notes, held, remove, remove_empty


def paths(cache: Path) -> list[str]:
    return [one.path for one in held(cache)]


def test_a_directory_that_was_there_before_is_never_noted(tmp_path: Path) -> None:
    (tmp_path / "output/mine").mkdir(parents=True)
    notes = Notes(str(tmp_path / "cache"))
    assert notes.make(str(tmp_path), ["output", "mine"]) == []
    assert held(tmp_path / "cache") == []


def test_what_was_made_is_counted_and_removed_with_what_is_in_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    notes = Notes(str(cache))
    # A name of any bytes.
    name = os.fsdecode(b"a\n\xff b")
    made = notes.make(str(tmp_path), ["output", name])
    assert made == [str(tmp_path / "output" / name), str(tmp_path / "output")]
    (tmp_path / "output" / name / "one").write_text("12345")
    notes.settle()
    [found] = held(cache)
    assert (found.path, found.tasks, found.files, found.size_bytes) == (made[0], 0, 1, 5)
    remove(cache)
    remove_empty(cache)
    assert os.listdir(tmp_path) == ["cache"]


def test_directories_of_tasks_are_listed_by_their_job(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path / "cache"))
    for task in ("1.1", "2.1", "3.1"):
        notes.make(str(tmp_path), ["covey", "job7", task])
        if task != "3.1":
            (tmp_path / "covey/job7" / task / "left").touch()
        else:
            (tmp_path / "covey/job7" / task).rmdir()
        notes.settle()
    [found] = held(tmp_path / "cache")
    assert (found.path, found.tasks, found.files) == (str(tmp_path / "covey/job7"), 2, 2)


def test_notes_do_not_grow_with_tasks_that_leave_nothing(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path / "cache"))
    sizes: set[int] = set()
    for _ in range(50):
        for directory in notes.make(str(tmp_path), ["covey", "job1", "1.1"]):
            os.rmdir(directory)
        notes.settle()
        [file] = (tmp_path / "cache" / NAME).iterdir()
        sizes.add(file.stat().st_size)
    assert len(sizes) == 1


def test_another_directory_in_its_place_stays(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    notes = Notes(str(cache))
    notes.make(str(tmp_path), ["output", "p"])
    notes.settle()
    (tmp_path / "output/p").rename(tmp_path / "ours")
    (tmp_path / "output/p").mkdir()
    (tmp_path / "output/p/mine").touch()
    assert paths(cache) == []
    remove(cache)
    assert (tmp_path / "output/p/mine").exists()


def test_no_link_is_followed_neither_in_it_nor_to_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    notes = Notes(str(cache))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/keep").touch()
    for project in ("a", "b"):
        notes.make(str(tmp_path), ["output", project])
        notes.settle()
    (tmp_path / "output/a/link").symlink_to(tmp_path / "mine")
    # The very directory, but by a way that was not there when it was noted.
    (tmp_path / "output").rename(tmp_path / "elsewhere")
    (tmp_path / "output").symlink_to(tmp_path / "elsewhere")
    assert paths(cache) == []
    (tmp_path / "output").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "output")
    assert len(paths(cache)) == 2
    remove(cache)
    assert sorted(os.listdir(tmp_path / "output")) == []
    assert (tmp_path / "mine/keep").exists()


def test_a_torn_note_is_passed_over(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    notes = Notes(str(cache))
    [made, _] = notes.make(str(tmp_path), ["output", "p"])
    [file] = (cache / NAME).iterdir()
    whole = file.read_bytes()
    file.write_bytes(b"data 12\0data x /\0above relative\0" + whole + b"data 7 /hom")
    assert paths(cache) == [made]


def test_without_a_cache_nothing_is_noted(tmp_path: Path) -> None:
    notes = Notes("")
    assert len(notes.make(str(tmp_path), ["output", "p"])) == 2
    notes.settle()
    assert sorted(os.listdir(tmp_path)) == ["output"]


def test_an_empty_directory_of_a_task_goes_and_others_stay(tmp_path: Path) -> None:
    cache, work = tmp_path / "cache", tmp_path / "work"
    work.mkdir()
    notes = Notes(str(cache))
    for names in (["covey", "job7", "1.1"], ["covey", "job7", "2.1"], ["mine", "empty"]):
        notes.make(str(work), names)
        notes.settle()
    (work / "covey/job7/2.1/left").touch()
    remove_empty(cache)
    assert sorted(path.name for path in work.rglob("*") if not any(path.glob("*"))) == [
        "empty",
        "left",
    ]
    assert not (work / "covey/job7/1.1").exists()
