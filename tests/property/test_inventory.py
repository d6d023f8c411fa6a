"""Whatever stands in a list of machines: machines that are safe to use, or problems with lines."""

import re
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from covey.errors import UsageError
from covey.fleet.formats import read_listing
from covey.fleet.formats_toml import Config, read_toml
from covey.fleet.host import Host
from covey.fleet.limit import select
from covey.fleet.listing import Listing, Place
from covey.fleet.login import read_word
from covey.fleet.roll import hosts_of
from covey.fleet.yaml_subset import read_yaml
from covey.settings import NAME_PATTERN

#: A loaded machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: What the readers give a meaning to, so that random text comes near to it.
_PIECES = st.sampled_from(
    (
        *("\n", " ", "  ", "\t", ":", "- ", ",", "=", "[", "]", "{", "}", "#", ";", "'", '"', "@"),
        *("/", "!", "&", "*", "|", "..", "-", "%", "\\", "\x00", "\x1b", "\r", "é", "\u2028"),
        *("lab1", "lab2", "10.0.0.1", "::1", "8/", "pi@", ":22", "[1:3]", "name,ip", "hosts:"),
        *("all:", "children:", "vars:", "[web]", "[web:vars]", "[web:children]", "web"),
        *("ansible_host=", "ansible_host: ", "ansible_port=", "slots=4", "hosts = [", "[groups.a]"),
        *("members = [", "[machines.lab1]", "user = ", "---", "'lab1'", "$(id)", "`id`", "{{ x }}"),
    )
)
texts = st.lists(_PIECES | st.text(max_size=3), max_size=40).map("".join)
names = st.sampled_from(("hosts", "hosts.csv", "hosts.yml", "hosts.ini", "covey.toml"))


def _check(host: Host) -> None:
    """Nothing of a machine can be taken for an option, or end a word or a line."""
    assert NAME_PATTERN.match(host.name)
    assert re.fullmatch(r"[\w.-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?", host.address)
    assert re.fullmatch(r"([\w.@+-]+\$?)?", host.user)
    assert 0 <= host.port <= 65_535
    for text in (host.address, host.user, host.python, host.workdir, *host.packages):
        assert not text.startswith("-")
        assert text == "" or text.isprintable()
    assert re.fullmatch(r"|[+-]?[0-9]+%?|physical", host.slots)
    assert host.weight > 0
    assert all(re.fullmatch(r"[\w.+-]+", label) for label in host.labels)


@UNHURRIED
@given(texts, names)
@example("all:\n  hosts:\n    lab1:\n      - ansible_port: 22", "hosts.yml")
@example("[web:children]\nweb\n[web]\nlab1", "hosts")
def test_any_text_gives_safe_machines_or_problems_with_lines(text: str, name: str):
    listing = Listing()
    read_listing(text, name, listing)
    lines = text.count("\n") + 1
    for host in hosts_of(listing, Config()):
        _check(host)
    for told in (*listing.problems, *listing.notes):
        assert told.place.source == name
        assert 0 <= told.place.line <= lines
        assert told.reason.isprintable()


@UNHURRIED
@given(st.text())
def test_any_word_gives_safe_machines_or_a_problem(word: str):
    listing = Listing()
    listing.entries += read_word(word, Place("words"), listing)
    assert listing.entries or listing.problems
    for host in hosts_of(listing, Config()):
        _check(host)


@UNHURRIED
@given(texts)
def test_any_text_is_read_as_yaml_to_its_end(text: str):
    _, problems = read_yaml(text)
    assert all(1 <= line <= text.count("\n") + 1 for line, _ in problems)


_labels = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
_addresses = _labels | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
hosts = st.builds(
    Host,
    name=st.from_regex(r"m[a-z0-9_-]{0,12}[a-z0-9]", fullmatch=True),
    address=_addresses,
    user=st.just("") | _labels,
    port=st.just(0) | st.integers(1, 65_535),
    slots=st.just("") | st.sampled_from(("1", "16", "50%", "+1", "-1", "physical")),
    labels=st.lists(_labels, max_size=3, unique=True).map(tuple),
    weight=st.sampled_from((0.5, 1.0, 2.0, 1000.0)),
    python=st.sampled_from(("", "python3.12", "/opt/a b/bin/python3")),
    workdir=st.sampled_from(("", "~/w", "/srv/it's")),
    packages=st.lists(st.sampled_from(("numpy==2.1.*", "pillow>=10,<12")), max_size=2).map(tuple),
)
rolls = st.lists(hosts, max_size=6, unique_by=lambda host: host.name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _said(host: Host) -> dict[str, str]:
    """The fields of a machine as text, as far as they say something."""
    all_of_it = {
        "address": host.address,
        "user": host.user,
        "port": str(host.port or ""),
        "slots": host.slots,
        "groups": " ".join(host.labels),
        "weight": str(host.weight),
        "python": host.python,
        "workdir": host.workdir,
        "packages": " ".join(host.packages),
    }
    return {key: value for key, value in all_of_it.items() if value}


def _as_lines(roll: list[Host]) -> str:
    return "".join(
        f"{host.name} {' '.join(f'{k}={_quoted(v)}' for k, v in _said(host).items())}\n"
        for host in roll
    )


def _as_yaml(roll: list[Host]) -> str:
    lines = ["all:", "  hosts:"]
    for host in roll:
        lines.append(f"    {host.name}:")
        lines += [f"      covey_{key}: {_quoted(value)}" for key, value in _said(host).items()]
    return "\n".join(lines)


def _as_toml(roll: list[Host]) -> str:
    lines: list[str] = []
    for host in roll:
        lines.append(f"[machines.{host.name}]")
        lines += [f"{key} = {_quoted(value)}" for key, value in _said(host).items()]
    return "\n".join(lines)


def _as_csv(roll: list[Host]) -> str:
    keys = ["address", "user", "port", "slots", "groups", "weight", "python", "workdir", "packages"]
    rows = [",".join(["name", *keys])]
    for host in roll:
        said = _said(host)
        rows.append(",".join([host.name, *(_quoted(said.get(key, "")) for key in keys)]))
    return "\n".join(rows)


@UNHURRIED
@given(rolls)
def test_a_list_written_in_any_form_is_read_back(roll: list[Host]):
    for text, name in (
        (_as_lines(roll), "hosts"),
        (_as_yaml(roll), "hosts.yml"),
        (_as_toml(roll), "covey.toml"),
        (_as_csv(roll), "hosts.csv"),
    ):
        listing = Listing()
        read_listing(text, name, listing)
        found = hosts_of(listing, Config())
        assert listing.problems == []
        assert [replace(host, where="") for host in found] == roll, text


@UNHURRIED
@given(rolls)
def test_a_machine_of_covey_toml_is_the_same_when_it_is_named_alone(roll: list[Host]):
    config = read_toml(_as_toml(roll), "covey.toml", Listing())
    for host in roll:
        listing = Listing()
        listing.entries += read_word(host.name, Place("words"), listing)
        (found,) = hosts_of(listing, config)
        assert replace(found, where="") == host


@UNHURRIED
@given(
    st.lists(
        st.tuples(_labels, st.lists(_labels, max_size=2)), max_size=6, unique_by=lambda one: one[0]
    ),
    st.text(alphabet="ab,:!&@*?[]- 1", max_size=12) | _labels,
)
def test_a_limit_takes_some_machines_in_order_or_is_refused(
    machines: list[tuple[str, list[str]]], pattern: str
):
    try:
        chosen = select(machines, pattern)
    except UsageError:
        return
    assert chosen
    assert chosen == [name for name, _ in machines if name in set(chosen)]
