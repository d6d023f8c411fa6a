import os
from pathlib import Path

import pytest

from covey.agent.cpus import SLOTS_MAX, cpu_quota, default_slots, parse_slots
from covey.errors import SettingsError

CPUS = len(os.sched_getaffinity(0))


def a_machine(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_default_is_what_this_process_may_use(tmp_path: Path) -> None:
    assert default_slots(tmp_path)[0] == CPUS


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a\n", {"sys/fs/cgroup/a/cpu.max": "max 100000\n"}, None),
        # A container sees the path of the host, and its own group at the mount.
        ("0::/../x\n", {"sys/fs/cgroup/cpu.max": "20000 10000\n"}, 2.0),
        (
            "4:memory:/m\n1:cpu:/g\n0::/\n",
            {
                "sys/fs/cgroup/cpu/g/cpu.cfs_quota_us": "25000\n",
                "sys/fs/cgroup/cpu/g/cpu.cfs_period_us": "100000\n",
            },
            0.25,
        ),
        (
            "1:cpu,cpuacct:/\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ("nonsense\n", {"sys/fs/cgroup/cpu.max": "what\n"}, None),
    ],
)
def test_the_quota_of_a_control_group_is_read(
    tmp_path: Path, cgroup: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(a_machine(tmp_path, cgroup, files)) == quota


def test_the_lowest_quota_of_all_levels_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/cpu.max": "50000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
    }
    assert cpu_quota(a_machine(tmp_path, "0::/a/b", files)) == 0.5


def test_a_quota_below_the_affinity_decides_and_is_rounded_up(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "50000 100000"}
    slots, reason = default_slots(a_machine(tmp_path, "0::/a", files))
    assert slots == 1
    assert "quota" in reason
    assert "0.5" in reason


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("4", 4),
        ("0", SLOTS_MAX),
        ("99999", SLOTS_MAX),
        ("150%", CPUS * 3 // 2),
        ("1%", 1),
        ("+2", CPUS + 2),
        ("-1000", 1),
        (" 3 ", 3),
        ("", CPUS),
    ],
)
def test_what_a_user_may_write(tmp_path: Path, text: str, slots: int) -> None:
    assert parse_slots(text, tmp_path)[0] == slots


@pytest.mark.parametrize("text", ["x", "1.5", "4 %", "--1", "%"])
def test_anything_else_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="use a number"):
        parse_slots(text, tmp_path)


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    for cpu in os.sched_getaffinity(0):
        a_machine(
            tmp_path,
            "",
            {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": "0-999\n"},
        )
    assert parse_slots("physical", tmp_path) == (1, "physical cores this process may use")
