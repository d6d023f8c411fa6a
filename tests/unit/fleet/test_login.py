"""One word that names machines."""

import pytest

from covey.fleet.listing import MACHINES_MAX, Listing, Place
from covey.fleet.login import NAME_MAX, expanded, name_of, read_word, slug


def read(word: str) -> tuple[list[tuple[str, str, dict[str, object]]], list[str]]:
    """(name, address, fields) of each machine, and the problems."""
    listing = Listing()
    entries = read_word(word, Place("words"), listing)
    machines = [(entry.name, entry.fallback, dict[str, object](entry.fields)) for entry in entries]
    return machines, [problem.reason for problem in listing.problems]


@pytest.mark.parametrize(
    ("word", "name", "address", "fields"),
    [
        ("lab1", "lab1", "lab1", {}),
        ("8/pi@rack:2222", "rack", "rack", {"slots": "8", "user": "pi", "port": 2222}),
        ("50%/lab1", "lab1", "lab1", {"slots": "50%"}),
        ("+1/lab1", "lab1", "lab1", {"slots": "+1"}),
        ("physical/lab1", "lab1", "lab1", {"slots": "physical"}),
        ("lab1.example.org", "lab1-example-org", "lab1.example.org", {}),
        ("me@uni.de@lab1", "lab1", "lab1", {"user": "me@uni.de"}),
        ("192.168.1.7", "192-168-1-7", "192.168.1.7", {}),
        ("127.0.0.1:2201", "127-0-0-1-2201", "127.0.0.1", {"port": 2201}),
        ("127.0.0.1:22", "127-0-0-1", "127.0.0.1", {"port": 22}),
        ("localhost:2201", "localhost-2201", "localhost", {"port": 2201}),
        ("[::1]:22", "ip6-1", "::1", {"port": 22}),
        ("::1", "ip6-1", "::1", {}),
        ("pi@[fe80::2%eth0]:2222", "ip6-fe80-2-eth0-2222", "fe80::2%eth0", {"user": "pi"}),
        ("server_30", "server_30", "server_30", {}),
    ],
)
def test_a_word_says_slots_user_address_and_port(
    word: str, name: str, address: str, fields: dict[str, object]
):
    machines, problems = read(word)
    assert problems == []
    assert [(machines[0][0], machines[0][1])] == [(name, address)]
    assert fields.items() <= machines[0][2].items()


def test_groups_stand_in_front_as_for_gnu_parallel():
    listing = Listing()
    (entry,) = read_word("@pis+attic/8/pi@lab1", Place("words"), listing)
    assert (entry.labels, entry.fields) == (("pis", "attic"), {"slots": "8", "user": "pi"})


def test_commas_part_machines_and_ranges_name_many():
    machines, problems = read("lab[01:03],8/b,c[x:z:2].org")
    assert problems == []
    assert [name for name, _, _ in machines] == ["lab01", "lab02", "lab03", "b", "cx-org", "cz-org"]
    assert expanded("a[1:2]b[3:4]") == ["a1b3", "a1b4", "a2b3", "a2b4"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("-oProxyCommand=touch x", "begins with -"),
        ("-G", "begins with -"),
        ("a;b", "';' cannot stand in one"),
        ("a b", "a blank cannot stand in one"),
        ("$(id)", "'$' cannot stand in one"),
        ("a'b", "cannot stand in one"),
        ("a\nb", "control character"),
        ("a\x1b[31m", "control character"),
        ("lab1:", "port is empty"),
        ("lab1:0", "is no port"),
        ("lab1:65536", "is no port"),
        ("lab1:٢٢", "is no port"),
        ("-x@lab1", "is no user name"),
        ("@lab1", "user is empty"),
        ("pi@", "names no machine"),
        ("", "names no machine"),
        ("8/", "names no machine"),
        ("8/8/lab1", "slots before the /"),
        ("a/b", "slots before the /"),
        ("8x/lab1", "is no number of slots"),
        (":", "covey up --local N"),
        ("4/:", "covey up --local N"),
        ("@pis/4/:", "covey up --local N"),
        ("192.168.1.256", "'192.168.1.256' is no IP address"),
        ("pi@192.168.1.2.3", "'192.168.1.2.3' is no IP address"),
        ("192.168.001.2", "without leading zeros"),
        ("hosts.txt", "-H FILE"),
        ("./clients", "-H FILE"),
        ("lab[3:1]", "ends before it begins"),
        ("lab[1:9:0]", "ends before it begins"),
        ("lab[1:999999999]", "more than 10,000 machines"),
        ("lab[1:200][1:200]", "more than 10,000 machines"),
        ("[::1", "cannot stand in one"),
        ("a" * 300, "at most 255 letters"),
        ("ﬀ", "no letter that can be in a name"),
        ("fe80::1%a b", "network interface"),
    ],
)
def test_what_cannot_be_a_machine_is_refused_with_its_reason(word: str, reason: str):
    machines, problems = read(word)
    assert machines == []
    assert len(problems) == 1
    assert reason in problems[0]


def test_a_password_is_refused_and_not_repeated():
    _, problems = read("pi:hunter2@lab1")
    assert "password" in problems[0]
    assert "hunter2" not in problems[0]


def test_a_bad_word_does_not_hide_its_neighbours():
    machines, problems = read("lab1,a;b,lab2")
    assert [name for name, _, _ in machines] == ["lab1", "lab2"]
    assert len(problems) == 1


def test_a_name_is_one_token_of_a_subject():
    assert slug("a.b c/d") == "a-b-c-d"
    assert len(slug("x" * 200)) == NAME_MAX
    assert name_of("rack", 2222) == "rack"
    assert MACHINES_MAX == 10_000
