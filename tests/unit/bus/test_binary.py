"""Which nats-server is started."""

import shutil
import sys
from pathlib import Path

import pytest

from covey.bus import binary
from covey.bus.binary import VERDICT, find_server
from covey.errors import ChecksumMismatch, ServerMissing


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small program that stands where the package's binary does."""
    path = tmp_path / "bin" / "nats-server"
    path.parent.mkdir()
    shutil.copy("/bin/true", path)
    digest = binary.hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(binary, "_of_package", lambda: (path, "9.9.9", digest))
    return path


def test_what_the_user_names_is_taken(tmp_path: Path) -> None:
    assert find_server(sys.executable) == Path(sys.executable).absolute()


@pytest.mark.parametrize("wrong", ["/nowhere/nats-server", "/etc/passwd", "no-such-program"])
def test_what_cannot_be_run_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(
        ServerMissing, match=f"{wrong} .*--nats-server PATH.*COVEY_NATS_URL"
    ) as info:
        find_server(wrong)
    assert "\n" not in str(info.value)


def test_without_package_and_path_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_of_package", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerMissing, match=r"platform.*COVEY_NATS_URL.*--nats-server PATH"):
        find_server()


def test_the_packages_binary_is_the_published_one(tmp_path: Path) -> None:
    path = find_server(state_dir=tmp_path)
    assert path.name == "nats-server"


def test_a_changed_binary_is_refused(packaged: Path, tmp_path: Path) -> None:
    assert find_server(state_dir=tmp_path) == packaged
    with packaged.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ChecksumMismatch, match=r"install it again.*--nats-server PATH"):
        find_server(state_dir=tmp_path)


def test_a_checked_binary_is_not_read_again(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_server(state_dir=tmp_path)
    assert (tmp_path / VERDICT).stat().st_mode & 0o777 == 0o600

    def never(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(binary.hashlib, "file_digest", never)
    assert find_server(state_dir=tmp_path) == packaged
    packaged.touch()
    with pytest.raises(AssertionError, match="read again"):
        find_server(state_dir=tmp_path)
