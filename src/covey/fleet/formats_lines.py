"""A machine a line: plain lists, hosts files of pssh and PPSS, sshloginfiles, Ansible's INI. Pure.

# comment                        ; comment
lab1                             8/pi@rack:2222            lab[01:10]
lab2:2222 pi                     pssh: the user behind the machine
lab3 user=pi slots=4             any field of covey.toml
[pis]                            Ansible: a group …
lab4 ansible_host=10.0.0.4
[pis:vars]                       … its variables …
ansible_user=pi
[all_pis:children]               … and its children
pis
"""

import difflib
import ipaddress
import re
import shlex
from collections import Counter
from collections.abc import Iterator

from covey.fleet.ansible import Group, Groups, read_field, read_variables
from covey.fleet.fields import FIELDS, Value, read_user, shown
from covey.fleet.listing import LINE_MAX, Entry, Listing, Place, Variable
from covey.fleet.login import read_word

_SECTION = re.compile(r"\[([^\[\]]*)\]\s*(?:[#;].*)?\Z")
_RANGE = re.compile(r"(?:[0-9]+:[0-9]+|[a-zA-Z]:[a-zA-Z])(?::[0-9]+)?\Z")
_SSH_COMMAND = re.compile(r"(?:[^\s@]*/)?(?:ssh|rsh|sshpass)\Z")


def significant(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of what is neither blank nor a comment, without what surrounds it."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            yield number, stripped


def section_of(line: str) -> tuple[str, str] | None:
    """(group, what of it) when a line is a section; `[::1]` and `[a:f]` name machines."""
    found = _SECTION.match(line)
    if found is None or _RANGE.match(found[1]) or _is_ipv6(found[1]):
        return None
    name, _, kind = found[1].strip().partition(":")
    return name, kind


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def odd_letter(line: str) -> str:
    """The first letter of a line that no inventory may hold, as a reason; "" = there is none."""
    if len(line) > LINE_MAX:
        return f"the line is longer than {LINE_MAX:,} letters"
    odd = next((letter for letter in line if not letter.isprintable() and letter != "\t"), "")
    return f"the line holds {shown(odd)}, which cannot stand in a list" if odd else ""


def read_lines(text: str, source: str, listing: Listing) -> None:
    """Add what the lines name to the listing."""
    _LinesReader(text, source, listing).read(text)


def read_node_file(text: str, source: str, listing: Listing) -> None:
    """Add the machines of $PBS_NODEFILE: a machine has as many slots as it has lines."""
    named: dict[str, Entry] = {}
    count = Counter[str]()
    for number, line in significant(text):
        for entry in read_word(line, Place(source, number), listing):
            named.setdefault(entry.name, entry)
            count[entry.name] += 1
    for name, entry in named.items():
        entry.fields["slots"] = str(count[name])
        listing.entries.append(entry)


#: How the names of Ansible's variables begin.
_ANSIBLE = "ansible_"


class _LinesReader:
    """Goes through the lines once; sections decide what a line means."""

    def __init__(self, text: str, source: str, listing: Listing) -> None:
        self._source = source
        self._listing = listing
        self._groups = Groups()
        self._group = self._groups.group("ungrouped", Place(source))
        self._kind = ""
        # Ansible's variables may mean anything; in a plain list an unknown word is a slip.
        self._is_ansible = _ANSIBLE in text or any(
            section_of(line) is not None for _, line in significant(text)
        )

    def read(self, text: str) -> None:
        for number, line in significant(text):
            place = Place(self._source, number)
            if odd := odd_letter(line):
                self._listing.bad(place, odd)
            elif (section := section_of(line)) is not None:
                self._begin(*section, place)
            elif self._kind == "vars":
                self._variable(line, place)
            elif self._kind == "children":
                self._group.children[line.split()[0]] = place
            elif not self._kind:
                self._machines(line, place)
        self._groups.resolve(self._listing)

    def _begin(self, name: str, kind: str, place: Place) -> None:
        self._group = self._groups.group(name, place)
        self._kind = kind
        if kind not in ("", "vars", "children"):
            self._listing.bad(place, f"[{name}:{kind}]: a group has :vars and :children")

    def _variable(self, line: str, place: Place) -> None:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            self._listing.bad(place, f"{shown(line)} is no variable: name=value")
            return
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        self._group.variables[name] = Variable(value, place)

    def _machines(self, line: str, place: Place) -> None:
        word, *behind = line.split(maxsplit=1)
        rest = behind[0] if behind else ""
        if _SSH_COMMAND.match(word.rpartition("/")[2]) and rest and not rest.startswith("#"):
            self._listing.bad(
                place, "an ssh command of its own is not read: say its options in ssh_config"
            )
            return
        entries = read_word(word, place, self._listing)
        fields = self._fields(rest, place) if entries else {}
        for entry in entries:
            if both := entry.fields.keys() & fields.keys():
                self._listing.bad(place, f"{min(both)} is said twice")
            entry.fields |= fields
            self._add(entry, self._group)

    def _add(self, entry: Entry, group: Group) -> None:
        first = group.machines.setdefault(entry.key, entry.place)
        if first is not entry.place:
            self._listing.note(entry.place, f"{entry.name} is named in line {first.line} already")
        self._groups.add_machine(entry, self._listing)

    def _fields(self, rest: str, place: Place) -> dict[str, Value]:
        """What stands behind the machine: key=value …, or a user as for pssh."""
        try:
            words = shlex.split(rest, comments=True)
            # A user who is only a number is a machine's name torn apart: `lab 2`.
            is_user = len(words) == 1 and "=" not in words[0] and not words[0].isdecimal()
            if is_user and not words[0].startswith(_ANSIBLE):
                return {"user": read_user(words[0])}
        except ValueError as error:
            self._listing.bad(place, f"{shown(rest)}: {str(error).lower()}")
            return {}
        if any("=" not in word.lstrip("=") for word in words):
            self._listing.bad(
                place,
                f"{shown(rest)}: behind a machine stands its user, or key=value …",
            )
            return {}
        pairs = [word.partition("=") for word in words]
        variables = {name: Variable(value, place) for name, _, value in pairs}
        if self._is_ansible:
            return read_variables(variables, self._listing)
        return self._plain_fields(variables)

    def _plain_fields(self, variables: dict[str, Variable]) -> dict[str, Value]:
        read: dict[str, Value] = {}
        for name, variable in variables.items():
            if name not in FIELDS:
                near = difflib.get_close_matches(name, FIELDS, n=1)
                hint = f" — did you mean {near[0]}?" if near else f": {', '.join(FIELDS)}"
                self._listing.bad(variable.place, f"nothing is called {shown(name)}{hint}")
                continue
            value = read_field(name, variable.value, variable.place, self._listing)
            if value is not None:
                read[name] = value
        return read
