"""The form of covey.toml (`EXAMPLE` is one). Pure."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from covey.errors import UsageError
from covey.fleet.ansible import Groups, read_field
from covey.fleet.fields import FIELDS, Value, is_user_name, read_weight, shown
from covey.fleet.limit import select
from covey.fleet.listing import Listing, Place, Variable
from covey.fleet.login import read_word
from covey.model.users import OTHERS, PRIORITY_MAX, PRIORITY_MIN, User, Users

#: A whole file, for the reference page; a test reads it.
EXAMPLE = """
hosts = ["lab[01:10]", "8/pi@rack:2222"]

[machines.rack]
address = "192.168.1.9"
weight = 2.0

[groups.pis]
members = ["rack", "lab0*"]
user = "pi"
packages = ["numpy==2.1.*"]

[defaults]
workdir = "~/work"

[bus]
url = "nats://10.0.0.1:4222"

[users]
alice = {weight = 2, priorities = [0, 10]}
"*" = {priorities = [-10, 0]}
"""
#: Key of the top -> (what it says, an example); these tables make the reference page.
TOP_KEYS = {
    "hosts": (
        "Machines as on the command line: slots, user, port and ranges may be said.",
        '["lab[01:10]", "8/pi@rack:2222"]',
    ),
}
#: Key of [groups.NAME] besides those that a group may say of its machines.
GROUP_KEYS = {
    "members": ("Names or patterns of machines of this file.", '["rack", "lab0*", "!lab07"]'),
}
#: Key of [bus] -> (what it says, an example).
BUS_KEYS = {
    "url": (
        "A NATS server that runs already, instead of one that covey starts. `COVEY_NATS_URL` wins.",
        "nats://10.0.0.1:4222",
    ),
    "listen": (
        "Direct mode: where the bus listens for agents, with TLS, so that they need no tunnel"
        " through ssh. Not said: it listens on loopback only.",
        "tls://0.0.0.0:4222",
    ),
}
#: Key of a user in [users] -> (what it says, an example).
USER_KEYS = {
    "weight": (
        "Share of slot time against other users who want some at the same time. Not said: 1.",
        "2",
    ),
    "priorities": (
        f"Lowest and highest priority of this user's jobs, within {PRIORITY_MIN} to"
        f" {PRIORITY_MAX}; larger is more urgent. A job that asks for none has 0, or the nearest"
        " that is allowed. Not said: all.",
        "[0, 10]",
    ),
}
#: What a group or [defaults] may say: all but what is of one machine only.
SHARED_KEYS = tuple(key for key in FIELDS if key not in ("address", "groups"))
SECTIONS = ("bus", "defaults", "machines", "groups", "users")

_BUS_FORMS = {
    "url": re.compile(r"(?:nats|tls|ws|wss)://\S+\Z"),
    "listen": re.compile(r"tls://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}\Z"),
}
_HEADER = re.compile(r"\s*\[+\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w.-]+)\s*=""")

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Config:
    """What a covey.toml says, checked."""

    #: [bus] url, listen
    bus: Mapping[str, str] = field(default_factory=dict[str, str])
    #: [defaults]
    defaults: Mapping[str, Value] = field(default_factory=dict[str, Value])
    #: [users]; None = there is no such section.
    users: Users | None = None
    #: Its machines, its groups worked in.
    listing: Listing = field(default_factory=Listing)
    #: The file that names the machines, as shown; "" = none is named.
    source: str = ""


def read_toml(text: str, source: str, listing: Listing) -> Config:
    """What a text of that form says; what is wrong with it goes to the listing."""
    table = _table_of(text, source, listing)
    return Config() if table is None else _TomlReader(text, source, listing).read(table)


def read_bus_table(text: str, source: str, listing: Listing) -> dict[str, str]:
    """Only the [bus] of it."""
    table = _table_of(text, source, listing)
    return {} if table is None else _TomlReader(text, source, listing).read_bus(table)


def read_users_table(text: str, source: str, listing: Listing) -> Users | None:
    """Only the [users] of it; None = there is none."""
    table = _table_of(text, source, listing)
    return None if table is None else _TomlReader(text, source, listing).read_users(table)


def _table_of(text: str, source: str, listing: Listing) -> Table | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason, _, at = str(error).partition(" (at ")
        line = re.match(r"line ([0-9]+)", at)
        reason = reason[:1].lower() + reason[1:]
        listing.bad(Place(source, int(line[1]) if line else 0), f"no TOML: {reason}")
        return None


def _priorities(value: object) -> tuple[int, int]:
    text = shown(value)
    pair = cast("list[object]", value) if isinstance(value, list) else []
    whole = [one for one in pair if isinstance(one, int) and not isinstance(one, bool)]
    if len(pair) == len(whole) == 2 and PRIORITY_MIN <= whole[0] <= whole[1] <= PRIORITY_MAX:
        return whole[0], whole[1]
    raise ValueError(
        f"{text} is no range of priorities — the lowest and the highest, from"
        f" {PRIORITY_MIN} to {PRIORITY_MAX}, such as [0, 10]"
    )


def _lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path of a key -> its line, as far as lines alone can tell (tomllib does not)."""
    lines: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            section = _path(header[1])
            lines.setdefault(section, number)
        elif key := _KEY.match(line):
            lines.setdefault((*section, *_path(key[1])), number)
    return lines


def _path(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r""""([^"]*)"|'([^']*)'|([\w-]+)""", dotted)
    return tuple("".join(part) for part in parts)


class _TomlReader:
    def __init__(self, text: str, source: str, listing: Listing) -> None:
        self._source = source
        self._lines = _lines_of(text)
        self._listing = listing
        self._groups = Groups()

    def read(self, table: Table) -> Config:
        """All of it; machines only once everything is known."""
        for key in table:
            if key not in (*TOP_KEYS, *SECTIONS):
                self._unknown((key,), (*TOP_KEYS, *SECTIONS), "nothing is called")
        bus = self.read_bus(table)
        defaults = self._values(self._table(table, "defaults"), ("defaults",), SHARED_KEYS)
        self._hosts(table.get("hosts", []))
        machines = self._table(table, "machines")
        for name in machines:
            self._machine(name, self._table(machines, "machines", name))
        groups = self._table(table, "groups")
        for name in groups:
            self._group(name, self._table(groups, "groups", name))
        found = Listing(notes=self._listing.notes, problems=self._listing.problems)
        self._groups.resolve(found)
        users = self.read_users(table)
        return Config(bus, defaults, users, found, self._source if found.entries else "")

    def _place(self, *keys: str) -> Place:
        for end in range(len(keys), 0, -1):
            if line := self._lines.get(keys[:end]):
                return Place(self._source, line)
        return Place(self._source)

    def _unknown(self, path: tuple[str, ...], known: Iterable[str], opening: str) -> None:
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
        self._listing.bad(self._place(*path), f"{opening} {shown(path[-1])} — {hint}")

    def _table(self, table: Table, *path: str) -> Table:
        value = table.get(path[-1], {})
        if isinstance(value, dict):
            return cast(Table, value)
        self._listing.bad(self._place(*path), f"{path[-1]} is a section: [{'.'.join(path)}]")
        return {}

    def read_bus(self, table: Table) -> dict[str, str]:
        """Its [bus]."""
        bus: dict[str, str] = {}
        for key, value in self._table(table, "bus").items():
            form = _BUS_FORMS.get(key)
            if form is None:
                self._unknown(("bus", key), BUS_KEYS, "[bus] has no key")
            elif isinstance(value, str) and form.match(value):
                bus[key] = value
            else:
                example = BUS_KEYS[key][1]
                # Never repeated: it may hold a password.
                self._listing.bad(self._place("bus", key), f"{key} is an address such as {example}")
        return bus

    def read_users(self, table: Table) -> Users | None:
        """Its [users]."""
        if "users" not in table:
            return None
        said = self._table(table, "users")
        users = {name: self._user(name, self._table(said, "users", name)) for name in said}
        return Users(users)

    def _user(self, name: str, said: Table) -> User:
        place, user = self._place("users", name), User()
        if name != OTHERS and not is_user_name(name):
            self._listing.bad(place, f"{shown(name)} is no user name")
        for key, value in said.items():
            try:
                if key == "weight":
                    user = replace(user, weight=read_weight(value))
                elif key == "priorities":
                    user = replace(user, priorities=_priorities(value))
                else:
                    self._unknown(("users", name, key), USER_KEYS, "a user has no key")
            except ValueError as error:
                self._listing.bad(self._place("users", name, key), str(error))
        return user

    def _values(self, said: Table, path: tuple[str, ...], known: Iterable[str]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key, value in said.items():
            if key not in known:
                self._unknown((*path, key), known, f"[{'.'.join(path)}] has no key")
                continue
            read = read_field(key, value, self._place(*path, key), self._listing)
            if read is not None:
                values[key] = read
        return values

    def _hosts(self, words: object) -> None:
        place = self._place("hosts")
        if not isinstance(words, list):
            self._listing.bad(place, 'hosts is a list: ["lab1", "8/pi@rack:2222"]')
            return
        for word in cast("list[object]", words):
            for entry in read_word(str(word), place, self._listing):
                self._groups.add_machine(entry, self._listing)

    def _machine(self, name: str, said: Table) -> None:
        path = ("machines", name)
        values = self._values(said, path, FIELDS)
        for entry in read_word(name, self._place(*path), self._listing):
            entry.fields |= values
            self._groups.add_machine(entry, self._listing)

    def _group(self, name: str, said: Table) -> None:
        path = ("groups", name)
        group = self._groups.group(name, self._place(*path))
        for key in self._values(
            {k: v for k, v in said.items() if k != "members"}, path, SHARED_KEYS
        ):
            group.variables[f"covey_{key}"] = Variable(said[key], self._place(*path, key))
        members = said.get("members", [])
        if not isinstance(members, list):
            self._listing.bad(self._place(*path, "members"), "members is a list of names")
            return
        names = [str(member) for member in cast("list[object]", members)]
        if not names:
            return
        known = {entry.name: key for key, entry in self._groups.machines.items()}
        try:
            chosen = select(((one, ()) for one in known), ",".join(names), "members")
        except UsageError as error:
            self._listing.bad(self._place(*path, "members"), str(error))
            return
        for one in chosen:
            group.machines[known[one]] = self._place(*path, "members")
