"""Row 1: one reader for all the lists that people have, and each bad line explained."""

import json

import pytest
from tests.conformance.conftest import CommandLine

#: File -> (what stands in it, the logins that it names).
LISTS = {
    "clients.conf": ("# distsys\n192.168.1.1\n\n192.168.1.2\n", ["192.168.1.1", "192.168.1.2"]),
    "sshloginfile": ("8/lab1\n4/pi@lab2\n", ["lab1", "pi@lab2"]),
    "pssh": ("lab1:2222 pi\nme@lab2\n", ["pi@lab1:2222", "me@lab2"]),
    "nodes": ("node1\nnode2\n", ["node1", "node2"]),
    "nodes.csv": ("n1, 10.0.0.1, pis\nn2, 10.0.0.2, pis, attic\n", ["10.0.0.1", "10.0.0.2"]),
    "table": ("name,ip,user,port\nn1,10.0.0.1,pi,22\n", ["pi@10.0.0.1:22"]),
    "inventory.ini": (
        "[web]\nw[1:2]\n[web:vars]\nansible_user=pi\n[prod:children]\nweb\n",
        ["pi@w1", "pi@w2"],
    ),
    "hosts.yml": (
        "servers:\n  hosts:\n    s1:\n      ansible_host: 10.0.0.1\n    s2:\n",
        ["10.0.0.1", "s2"],
    ),
    "covey.toml": ('[machines.rack]\naddress = "10.0.0.9"\nport = 2222\n', ["10.0.0.9:2222"]),
}


def _logins(covey: CommandLine, *words: str) -> list[str]:
    done = covey("hosts", "list", "--json", *words)
    assert done.code == 0, done.err
    found: list[str] = []
    for machine in json.loads(done.out)["machines"]:
        user = f"{machine['user']}@" if machine["user"] else ""
        port = f":{machine['port']}" if machine["port"] else ""
        found.append(f"{user}{machine['address']}{port}")
    return found


@pytest.mark.row(1)
@pytest.mark.parametrize("name", list(LISTS))
def test_a_list_of_machines_is_read_in_the_form_that_it_has(covey: CommandLine, name: str):
    text, logins = LISTS[name]
    (covey.directory / name).write_text(text)
    assert _logins(covey, "-H", name) == logins


@pytest.mark.row(1)
def test_every_bad_line_is_explained_with_its_number(covey: CommandLine):
    (covey.directory / "list").write_text("lab1\na;b\n\nlab2:x\n# fine\n-oX\n")
    done = covey("hosts", "check", "list")
    assert done.code == 2
    assert [line.split(":")[:2] for line in done.out.splitlines()] == [
        ["list", "2"],
        ["list", "4"],
        ["list", "6"],
    ]


@pytest.mark.row(1)
def test_duplicates_are_taken_once_and_contradictions_refused(covey: CommandLine):
    (covey.directory / "list").write_text("lab1\nlab1\n")
    assert _logins(covey, "-H", "list") == ["lab1"]
    (covey.directory / "list").write_text("lab1:22\nlab1:23\n")
    done = covey("hosts", "list", "-H", "list")
    assert done.code == 2
    assert "list:2: port of lab1 is 23 here and 22 in list:1" in done.err


@pytest.mark.row(1)
def test_groups_slots_and_weights_come_with_the_machines(covey: CommandLine):
    (covey.directory / "covey.toml").write_text(
        'hosts = ["8/lab1", "lab2"]\n[machines.lab2]\nweight = 2\n'
        '[groups.pis]\nmembers = ["lab2"]\nslots = 4\n'
    )
    done = json.loads(covey("hosts", "--json").out)
    told = [(m["name"], m["slots"], m["weight"], m["groups"]) for m in done["machines"]]
    assert told == [("lab1", "8", 1.0, []), ("lab2", "4", 2.0, ["pis"])]
    assert _logins(covey, "--limit", "@pis") == ["lab2"]
