"""What machines brought back is written where it belongs, and nowhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.client.gathering import keep, write_in_one_piece
from covey.errors import FileError
from covey.model.errand import Gathered, GatheredFile


def _gathered(*names: bytes, data: bytes = b"new") -> Gathered:
    return Gathered(tuple(GatheredFile(name, 0o644, 0.0, data) for name in names))


def test_files_are_written_below_the_directory(tmp_path: Path):
    top = tmp_path / "output" / "lab1"
    assert keep(_gathered(b"a", b"sub dir/x\n\xff"), top) == []
    assert (top / "a").read_bytes() == b"new"
    assert (top / "sub dir" / os.fsdecode(b"x\n\xff")).read_bytes() == b"new"


def test_an_old_file_is_replaced_whole(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"old and longer")
    assert keep(_gathered(b"a"), tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", [b"../a", b"/etc/a", b"a/../../b", b"a//b", b".", b"", b"a/", b"a\0b", b"./a"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: bytes):
    top = tmp_path / "top"
    problems = keep(_gathered(name, b"good"), top)
    assert [type(problem) for problem in problems] == [FileError]
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert found == [Path("top/good")]


@given(st.binary(max_size=30))
def test_no_name_escapes(tmp_path_factory: pytest.TempPathFactory, name: bytes):
    base = tmp_path_factory.mktemp("base")
    keep(_gathered(name), base / "top")
    outside = [path for path in base.rglob("*") if base / "top" not in (path, *path.parents)]
    assert outside == []


def test_nothing_is_written_through_a_link(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    top = tmp_path / "top"
    top.mkdir()
    (top / "sub").symlink_to(elsewhere)
    (top / "file").symlink_to(elsewhere / "target")
    problems = keep(_gathered(b"sub/a", b"file"), top)
    assert ["is a link" in str(problem) for problem in problems] == [True]
    # The link itself is replaced, not what it leads to.
    assert not (top / "file").is_symlink()
    assert list(elsewhere.iterdir()) == []


def test_a_file_in_the_way_is_said(tmp_path: Path):
    (tmp_path / "sub").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        write_in_one_piece(tmp_path, [b"sub", b"a"], b"")
