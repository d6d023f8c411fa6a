"""Lists of machines, from the file to agents that run."""

from pathlib import Path

import pytest
from tests.integration.fleet.room import room_of

pytestmark = pytest.mark.timeout(300)


def test_machines_of_an_ansible_inventory_and_of_a_plain_list_come_up(
    archives: Path, tmp_path: Path
) -> None:
    with room_of(archives, count=2) as room:
        first, second = room.machine("lab1"), room.machine("lab2")
        (tmp_path / "inventory.ini").write_text(
            f"[pis]\nalpha ansible_port={first.port} covey_slots=3\n"
            f"[pis:vars]\nansible_host=127.0.0.1\nansible_user={first.user}\n"
        )
        (tmp_path / "hosts.txt").write_text(
            f"# by address\n1/{second.user}@127.0.0.1:{second.port}\n"
        )
        by_address = f"127-0-0-1-{second.port}"
        raised = room.up("-H", str(tmp_path / "inventory.ini"), "-H", str(tmp_path / "hosts.txt"))
        assert {name: row["slots"] for name, row in raised.items()} == {"alpha": 3, by_address: 1}
        said = room.lab("run", "--limit", "@pis", "--", "echo I am $COVEY_MACHINE")
        assert said.returncode == 0, said.stderr
        assert "I am alpha" in said.stdout
        assert by_address not in said.stdout
        pinged = room.lab("ping", "--limit", "!@pis")
        assert pinged.returncode == 0, pinged.stderr
        assert pinged.stdout.startswith(f"Echo sent from {by_address}  ")


def test_a_hostile_list_starts_no_ssh_at_all(archives: Path, tmp_path: Path) -> None:
    with room_of(archives, count=1) as room:
        hostile = tmp_path / "hosts.txt"
        hostile.write_text(
            f"lab1\n-oProxyCommand=touch {tmp_path}/pwned\nlab1;touch {tmp_path}/pwned\n"
        )
        done = room.lab("up", "-H", str(hostile))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{hostile}:2: '-oProxyCommand=touch' is no host name" in done.stderr
        assert not (tmp_path / "pwned").exists()
        assert "Connection from" not in room.machine("lab1").log()
