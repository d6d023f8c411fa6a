"""Whether files can be written, asked before the work begins."""

from pathlib import Path

import pytest

from covey.cli.writing import check_directory, check_writable
from covey.errors import UsageError


def test_what_can_be_written_passes_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    for path in (None, tmp_path / "new", tmp_path / "old", Path("/dev/null")):
        check_writable("--csv", path)
    for path in (None, tmp_path, tmp_path / "new/below"):
        check_directory("-o", path)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "of_file", "of_directory"),
    [
        (".", "it is a directory, name a file", ""),
        ("none/x", "there is no directory ", ""),
        ("file/x", "there is no directory ", "file is no directory"),
        ("x" * 300, "File name too long", "File name too long"),
        ("loop/x", "symbolic links", "symbolic links"),
    ],
)
def test_what_cannot_be_written_is_told_with_its_option(
    name: str, of_file: str, of_directory: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for check, told in ((check_writable, of_file), (check_directory, of_directory)):
        if told:
            with pytest.raises(UsageError, match=rf"^--option {tmp_path}.*: .*{told}"):
                check("--option", tmp_path / name)
