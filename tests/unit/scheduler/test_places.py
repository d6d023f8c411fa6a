"""Whose a state directory is, and where it goes when its disk is not local."""

import os
from pathlib import Path

import pytest

from covey.errors import LedgerError, StartFailed, StateInUse
from covey.scheduler import places
from covey.scheduler.places import Host, find, settle

HERE = Host("here", "boot-1", "machine-1")
THERE = Host("there", "boot-2", "machine-2")


def mounts(**kinds: str) -> str:
    lines = ["20 1 8:1 / / rw - ext4 /dev/sda rw"]
    for point, kind in kinds.items():
        lines.append(f"30 20 0:1 / {point} rw shared:1 - {kind} server:/home rw")
    return "\n".join(lines)


@pytest.fixture
def local_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(places, "LOCAL_DISK", disk)
    return disk


def on_nfs(tmp_path: Path) -> str:
    return mounts(**{str(tmp_path / "home"): "nfs4"})


def test_a_state_directory_belongs_to_the_host_that_used_it_first(tmp_path: Path) -> None:
    state = tmp_path / "default"
    assert settle(state, host=HERE, mounts=mounts()).state_dir == state
    assert settle(state, host=HERE, mounts=mounts()).note == ""
    with pytest.raises(StateInUse, match="belongs to here"):
        settle(state, host=THERE, mounts=mounts())
    assert (state / "owner").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "again",
    [
        Host("here", "boot-9", "machine-1"),
        Host("renamed", "boot-1", "machine-1"),
        Host("renamed", "boot-9", "machine-1"),
        Host("container-2", "boot-1", ""),
    ],
)
def test_a_host_that_booted_or_was_renamed_is_the_same(tmp_path: Path, again: Host) -> None:
    settle(tmp_path / "default", host=HERE, mounts=mounts())
    settle(tmp_path / "default", host=again, mounts=mounts())
    settle(tmp_path / "default", host=again, mounts=mounts())


def test_on_a_network_file_system_state_goes_to_the_local_disk(
    tmp_path: Path, local_disk: Path
) -> None:
    state = tmp_path / "home" / "default"
    place = settle(state, host=HERE, mounts=on_nfs(tmp_path))
    assert place.state_dir == local_disk / f"covey-{os.geteuid()}" / "default"
    assert "network file system (nfs4)" in place.note
    assert place.state_dir.stat().st_mode & 0o777 == 0o700
    assert sorted(f.name for f in state.iterdir()) == ["owner", "place"]
    assert settle(state, host=HERE, mounts=on_nfs(tmp_path)) == place
    assert find(state, host=HERE).state_dir == place.state_dir


def test_another_host_of_a_shared_home_is_told_where_the_state_is(
    tmp_path: Path, local_disk: Path
) -> None:
    state = tmp_path / "home" / "default"
    settle(state, host=HERE, mounts=on_nfs(tmp_path))
    with pytest.raises(StateInUse, match="belongs to here"):
        settle(state, host=THERE, mounts=on_nfs(tmp_path))
    with pytest.raises(StateInUse, match="belongs to here"):
        find(state, host=THERE)


def test_two_homes_with_a_cluster_of_one_name_do_not_share_state(
    tmp_path: Path, local_disk: Path
) -> None:
    one, two = tmp_path / "home" / "a" / "default", tmp_path / "home" / "b" / "default"
    settled = [settle(state, host=HERE, mounts=on_nfs(tmp_path)) for state in (one, two, one)]
    assert settled[0].state_dir != settled[1].state_dir
    assert settled[0].state_dir == settled[2].state_dir
    assert find(two, host=HERE).state_dir == settled[1].state_dir


def test_a_link_laid_in_wait_is_refused(tmp_path: Path, local_disk: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir(mode=0o700)
    (local_disk / f"covey-{os.geteuid()}").symlink_to(trap)
    with pytest.raises(StartFailed, match="not a directory"):
        settle(tmp_path / "home" / "default", host=HERE, mounts=on_nfs(tmp_path))
    assert list(trap.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_a_directory_of_another_user_is_refused(tmp_path: Path, local_disk: Path) -> None:
    taken = local_disk / f"covey-{os.geteuid()}"
    taken.mkdir(mode=0o700)
    os.chown(taken, 12345, 12345)
    with pytest.raises(StartFailed, match="belongs to user 12345"):
        settle(tmp_path / "home" / "default", host=HERE, mounts=on_nfs(tmp_path))


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path, local_disk: Path) -> None:
    open_to_all = local_disk / f"covey-{os.geteuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    with pytest.raises(StartFailed, match="entered by others"):
        settle(tmp_path / "home" / "default", host=HERE, mounts=on_nfs(tmp_path))


def test_a_pointer_to_elsewhere_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("/etc\n")
    with pytest.raises(LedgerError, match="no place of covey's"):
        find(tmp_path, host=HERE)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    assert find(tmp_path / "x", host=HERE).state_dir == tmp_path / "x"
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_local_disk_works_where_it_was_told_and_says_so(
    tmp_path: Path, local_disk: Path
) -> None:
    everything = mounts(**{str(tmp_path): "nfs"})
    place = settle(tmp_path / "home" / "default", host=HERE, mounts=everything)
    assert place.state_dir == tmp_path / "home" / "default"
    assert "both on a network file system" in place.note


def test_the_longest_and_last_mount_decides() -> None:
    text = mounts(**{"/data": "nfs", "/data/local": "xfs", "/dat": "cifs"})
    assert places.file_system_of(Path("/data/x"), text) == "nfs"
    assert places.file_system_of(Path("/data/local/x"), text) == "xfs"
    assert places.file_system_of(Path("/database"), text) == "ext4"
    spaced = mounts(**{"/my\\040disk": "fuse.sshfs"})
    assert places.file_system_of(Path("/my disk/x"), spaced) == "fuse.sshfs"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "9p"])
def test_network_file_systems_are_known(kind: str) -> None:
    assert places.is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", "fuseblk", ""])
def test_local_file_systems_are_left_alone(kind: str) -> None:
    assert not places.is_network(kind)
