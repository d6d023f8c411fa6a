"""Where runtime directories are, and which of them a sweep removes."""

import os
import tempfile
from pathlib import Path

import pytest

from covey.agent import proctree, runtime

INCARNATION = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its base, with no other anywhere."""
    session = tmp_path / "session"
    session.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return session / "covey"


def test_they_are_in_the_directory_of_the_session(base: Path) -> None:
    made = runtime.create(INCARNATION)
    made.release()
    assert made.path == base / INCARNATION[:16]
    assert (made.path.stat().st_mode | base.stat().st_mode) & 0o777 == 0o700


@pytest.mark.parametrize("given", ["", "relative", "/no/such/directory"])
def test_without_one_they_are_in_a_directory_of_the_account(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", given)
    assert runtime.base_dir() == tmp_path / f"covey-{os.geteuid()}"


def test_a_base_that_others_may_enter_is_passed_over_for_one_that_is_found_again(
    base: Path, tmp_path: Path
) -> None:
    base.mkdir(mode=0o755)
    (tmp_path / f"covey-{os.geteuid()}").symlink_to(base)
    other = runtime.base_dir()
    assert other.parent == tmp_path
    assert other.name.startswith(f"covey-{os.geteuid()}-")
    assert runtime.base_dir() == other


def test_a_directory_goes_when_its_lock_is_free() -> None:
    made = runtime.create(INCARNATION)
    assert runtime.sweep() == []
    made.release()
    assert runtime.sweep() == [made.path]
    assert not made.path.exists()


def test_one_that_is_just_being_made_stays_and_one_of_a_dead_maker_goes(base: Path) -> None:
    here = proctree.identify(os.getpid())
    assert here is not None
    base.mkdir(mode=0o700)
    alive = base / f".new-{here.pid}-{here.started}-x"
    dead = base / f".new-{here.pid}-{here.started + 1}-x"
    broken = base / ".new-x"
    for path in (alive, dead, broken):
        path.mkdir()
    assert runtime.sweep() == [dead, broken]
    assert list(base.iterdir()) == [alive]


def test_what_is_not_a_runtime_directory_stays(base: Path) -> None:
    (base / "ssh-1").mkdir(parents=True)
    base.chmod(0o700)
    (base / "note").write_text("")
    assert runtime.sweep() == []
    assert sorted(path.name for path in base.iterdir()) == ["note", "ssh-1"]


def test_only_the_directory_whose_lock_was_inherited_is_removed_untold() -> None:
    mine, other = runtime.create(INCARNATION), runtime.create("f" * 32)
    runtime.remove_inherited("e" * 32)
    runtime.remove_inherited("")
    assert mine.path.exists()
    runtime.remove_inherited(INCARNATION)
    assert not mine.path.exists()
    assert other.path.exists()
    mine.release()
    other.release()
