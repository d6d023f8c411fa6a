"""Lists in the forms that people have, each as a file of the kind it was recorded from."""

from pathlib import Path

import pytest

from covey.errors import InventoryError
from covey.fleet.formats import form_of
from covey.fleet.formats_toml import EXAMPLE, read_toml
from covey.fleet.host import Host
from covey.fleet.inventory import Inventory, check_files
from covey.fleet.listing import Listing
from covey.fleet.roll import hosts_of

FILES = Path(__file__).parent / "inventories"


def read(name: str) -> Inventory:
    return check_files([str(FILES / name)], env={})


def logins(found: Inventory) -> list[str]:
    """`slots/login` of each machine."""
    return [f"{host.slots}/{host.login}" if host.slots else host.login for host in found.hosts]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("clients.conf", "lines"),
        ("sshloginfile", "lines"),
        ("ansible/hosts.ini", "lines"),
        ("fission.csv", "csv"),
        ("columns.csv", "csv"),
        ("ansible/hosts.yml", "yaml"),
        ("covey.toml", "toml"),
    ],
)
def test_the_form_is_seen_from_what_stands_in_the_file(name: str, form: str):
    text = (FILES / name).read_text()
    assert form_of(text, name) == form
    assert form_of(text, "hosts") == form
    assert form_of(text, "hosts.txt") == form


def test_clients_conf_of_distsys_with_blank_lines_and_comments():
    assert logins(read("clients.conf")) == ["192.168.1.2", "192.168.1.3", "192.168.1.4"]
    assert read("clients.conf").hosts[0].name == "192-168-1-2"
    assert logins(read("crlf.conf")) == ["192.168.1.2", "192.168.1.3"]


def test_a_byte_order_mark_is_no_letter_of_the_first_machine(tmp_path: Path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbflab1\n")
    assert logins(check_files([str(tmp_path / "list")], env={})) == ["lab1"]


def test_sshloginfile_of_gnu_parallel():
    found = read("sshloginfile")
    assert logins(found) == [
        "8/lab1",
        "50%/pi@lab2",
        "2/pi@lab3",
        "4/lab4",
        "lab5",
        "lab6.example.org",
    ]
    assert found.hosts[2].labels == ("pis", "kitchen")


def test_hosts_file_of_pssh_with_the_user_before_or_behind():
    assert logins(read("pssh_hosts")) == ["lab1", "pi@lab2:2222", "root@lab3:2200", "admin@lab4"]


def test_node_list_of_ppss():
    assert logins(read("ppss_nodes")) == ["node01", "node02.example.org", "192.168.0.13"]


def test_csv_of_fission_has_any_number_of_groups():
    found = read("fission.csv")
    assert logins(found) == ["192.168.4.2", "192.168.4.3", "192.168.4.4"]
    assert [host.name for host in found.hosts] == ["server_1", "server_2", "server-3"]
    assert [host.labels for host in found.hosts] == [("pis",), ("pis", "kitchen"), ()]


def test_csv_with_a_heading_may_say_every_field():
    lab1, lab2, rack = read("columns.csv").hosts
    assert lab1 == Host(
        "lab1",
        "10.0.0.1",
        "covey",
        2222,
        "8",
        ("lab", "gpu"),
        2.0,
        "/opt/py/bin/python3",
        "",
        ("numpy==2.1", "pillow"),
        lab1.where,
    )
    assert (lab2.slots, lab2.user, lab2.labels) == ("50%", "", ("lab",))
    assert (rack.address, rack.user) == ("fe80::1%eth0", "pi")


def test_ini_of_ansible_with_groups_children_variables_and_ranges():
    found = read("ansible/hosts.ini")
    hosts = {host.name: host for host in found.hosts}
    assert list(hosts)[:4] == [
        "mail-example-com",
        "www01-example-com",
        "www02-example-com",
        "www03-example-com",
    ]
    assert hosts["mail-example-com"].labels == ()
    www = hosts["www02-example-com"]
    assert (www.login, www.labels, www.weight) == (
        "deploy@www02.example.com:2222",
        ("web", "prod"),
        2.0,
    )
    db = hosts["db-b"]
    assert (db.user, db.slots, db.python) == ("dba", "4", "/usr/bin/python3.12")
    assert hosts["one"].login == "root@10.0.0.1"
    notes = [note.reason for note in found.notes]
    assert "ansible_ssh_private_key_file is not read: say it in ssh_config" in notes


def test_what_ansible_does_not_reach_by_ssh_is_left_out_and_said(tmp_path: Path):
    (tmp_path / "hosts").write_text(
        "localhost ansible_connection=local\nlab1\n[switches]\nsw1\nlab2 ansible_connection=ssh\n"
        "[switches:vars]\nansible_connection=network_cli\n"
    )
    found = check_files([str(tmp_path / "hosts")], env={})
    assert logins(found) == ["lab1", "lab2"]
    assert [note.reason for note in found.notes] == [
        "localhost is this machine: left out",
        "sw1 is reached by 'network_cli', not by ssh: left out",
    ]


def test_yaml_of_ansible_with_files_of_variables_beside_it():
    found = read("ansible/hosts.yml")
    assert logins(found) == [
        "asn@192.168.0.30",
        "asn@192.168.0.29:2222",
        "2/asn@pi1",
        "asn@pi2:2200",
    ]
    assert [host.labels for host in found.hosts][2] == ("fissionservers", "attic")
    assert all(host.python == "" for host in found.hosts)


def test_covey_toml_as_a_list_of_machines():
    hosts = {host.name: host for host in read("covey.toml").hosts}
    assert [f"{name} {hosts[name].slots}/{hosts[name].login}" for name in hosts] == [
        "lab1 50%/pi@lab1",
        "lab2 50%/pi@lab2",
        "lab3 3/lab3",
        "rack 8/pi@10.0.0.9:2222",
        "cam-example-org 3/cam.example.org",
    ]
    assert (hosts["rack"].weight, hosts["rack"].labels) == (2.5, ("attic",))
    cam = hosts["cam-example-org"]
    assert (cam.workdir, cam.packages, cam.python) == (
        "~/my work",
        ("numpy==2.1.*", "pillow"),
        "/opt/python/bin/python3",
    )


def test_the_example_of_the_reference_page_is_good():
    listing = Listing()
    config = read_toml(EXAMPLE, "covey.toml", listing)
    assert listing.problems == []
    hosts = {host.name: host for host in hosts_of(config.listing, config)}
    assert len(hosts) == 11
    rack = hosts["rack"]
    assert (rack.login, rack.slots, rack.workdir) == ("pi@192.168.1.9:2222", "8", "~/work")
    assert (hosts["lab01"].user, hosts["lab10"].user) == ("pi", "")


def test_a_line_of_a_pbs_node_file_is_a_slot():
    path = str(FILES / "pbs_nodes")
    found = check_files([path], env={"PBS_NODEFILE": path})
    assert logins(found) == ["3/n001.cluster", "1/n002.cluster"]
    again = check_files([path], env={})
    assert logins(again) == ["n001.cluster", "n002.cluster"]
    assert "n001-cluster is named in line 1 already" in [note.reason for note in again.notes]


BAD: list[tuple[str, str, list[str]]] = [
    (
        "every bad line of a plain list",
        "lab1\n-x\n:\nlab2 user=pi slot=4\nlab3 a b\nssh -p 22 pi@lab4\nlab5 'x\n"
        "lab6 slots=many\n8/lab7 slots=4\nlab8 nothing=1\n\x1b[31mlab9\na`b`\nlab 2\n",
        [
            ":2: '-x' is no host name",
            ":3: `:` is this machine",
            ":4: nothing is called 'slot' — did you mean slots?",
            ":5: 'a b': behind a machine stands its user, or key=value",
            ":6: an ssh command of its own is not read",
            ':7: "\'x": no closing quotation',
            ":8: 'many' is no number of slots",
            ":9: slots is said twice",
            ":10: nothing is called 'nothing': ",
            ":11: the line holds '\\x1b'",
            ":12: 'a`b`' is no host name",
            ":13: '2': behind a machine stands its user",
        ],
    ),
    (
        "rows of a table",
        "name,ip,slots\nlab1,bad;ip,1\n,,2\nlab2,10.0.0.1,two\nlab3,10.0.0.2,1,more\n"
        '"lab4,10.0.0.3,1\n',
        [
            ":2: 'bad;ip' is no host name",
            ":3: neither a name nor an address",
            ":4: 'two' is no number of slots",
            ":5: 4 cells, but the heading names 3 columns",
            ':6: a " is not closed',
        ],
    ),
    (
        "a heading",
        "name,ip,prot,ip\nlab1,10.0.0.1,22,10.0.0.2\n",
        [
            ":1: no column is called 'prot' — did you mean port?",
            ":1: two columns say the address",
        ],
    ),
    (
        "sections of an INI",
        "[web\nlab1\n[web:hosts]\nlab2\n[web:vars]\nnothing\nansible_port=x\n"
        "ansible_user={{ me }}\n"
        "[prod:children]\nwbe\n[a b]\nlab3\n[x:children]\nx\n",
        [
            ":1: '[web' is no host name",
            ":3: [web:hosts]: a group has :vars and :children",
            ":6: 'nothing' is no variable",
            ":7: 'x' is no port",
            ":8: user is a template",
            ":10: there is no group 'wbe' to be a child",
            ":11: 'a b' is no name of a group",
            ":13: group 'x' is its own child",
        ],
    ),
    (
        "lines of YAML",
        "all:\n  hosts:\n    lab1:\n      ansible_port: &p 22\n    a;b:\n    lab2: x\n"
        "\tlab3:\n  host:\n    lab4:\n  hosts:\n  vars:\n    ansible_user: [a]\n    - x\n"
        "    just text\n   odd: 1\n",
        [
            ":4: ansible_port: an anchor is not read",
            ":5: 'a;b' is no host name",
            ":6: machine 'lab2' is a map",
            ":7: a tab cannot indent a line",
            ":8: 'host': a group has hosts, vars and children",
            ":10: 'hosts' is said in line 2 already",
            ":12: user is text or a number",
            ":13: an item among keys",
            ":14: it has no colon",
            ":15: it is indented deeper",
        ],
    ),
    (
        "values of TOML",
        'hosts = ["lab1", "a;b"]\n[machines.lab2]\nslot = 4\nport = "x"\nuser = 7.5\n'
        '[groups.g]\nmembers = ["nix"]\naddress = "x"\n[default]\nslots = 1\n[bus]\nurl = "x"\n'
        'listen = "tcp://x:1"\nport = 1\n',
        [
            ":1: 'a;b' is no host name",
            ":3: [machines.lab2] has no key 'slot' — did you mean slots?",
            ":4: 'x' is no port",
            ":7: there is no machine 'nix'",
            ":8: [groups.g] has no key 'address'",
            ":9: nothing is called 'default' — did you mean defaults?",
            ":12: url is an address such as nats://",
            ":13: listen is an address such as tls://",
            ":14: [bus] has no key 'port'",
        ],
    ),
    ("no TOML", "[machines.lab1]\nport = \n", [":2: no TOML: invalid value"]),
    ("a file of another kind", '{"masters": []}\n', [":1: JSON is not read"]),
    ("a program", "#!/bin/sh\necho '{}'\n", [":1: a program is not run"]),
    ("two machines or a row", "lab1,lab2\n", [":1: is this a list or a row of a table?"]),
    (
        "a variable of ansible without a value is no user",
        "[web]\nlab1 ansible_user\nlab2 pi\n",
        [":2: 'ansible_user': behind a machine stands its user, or key=value"],
    ),
    ("nothing", "# nothing\n\n", [": names no machine"]),
    (
        "one machine in two ways",
        "lab1:22\nlab1:23\na.b\na-b\n8/lab2\n4/lab2\nhead\nall\n",
        [
            ":2: port of lab1 is 23 here and 22 in",
            ":4: a-b: address a-b here, a.b in",
            ":6: slots of lab2 is 4 here and 8 in",
            ":7: a machine cannot be called head",
            ":8: a machine cannot be called all",
        ],
    ),
]


@pytest.mark.parametrize(
    ("text", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_each_bad_line_is_told_with_its_number(tmp_path: Path, text: str, told: list[str]):
    (tmp_path / "list").write_text(text)
    with pytest.raises(InventoryError) as caught:
        check_files([str(tmp_path / "list")], env={})
    said = [str(one).removeprefix(f"{tmp_path}/list") for one in caught.value.data["problems"]]
    for line in told:
        assert any(one.startswith(line) for one in said), (line, said)
    assert len(said) == len(told), said


def test_a_line_that_is_no_text_is_told_with_its_number(tmp_path: Path):
    (tmp_path / "list").write_bytes(b"lab1\nlab\xff2\n")
    with pytest.raises(InventoryError, match=r"list:2: the line is no UTF-8 text"):
        check_files([str(tmp_path / "list")], env={})
