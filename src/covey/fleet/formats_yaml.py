"""Ansible's YAML inventory: groups with `hosts`, `vars` and `children`. Pure.

all:
  children:
    pis:
      hosts:
        pi[1:4]:
        rack: {ansible_host: 192.168.4.9, ansible_port: 2222}
      vars:
        ansible_user: pi
"""

from covey.fleet.ansible import VARIABLES, Groups, read_variables
from covey.fleet.fields import shown
from covey.fleet.formats_lines import odd_letter
from covey.fleet.listing import Listing, Place, Variable
from covey.fleet.login import read_word
from covey.fleet.yaml_subset import Items, Map, Node, Refused, Scalar, read_yaml

_PARTS = frozenset({"hosts", "vars", "children"})


def read_ansible_yaml(text: str, source: str, listing: Listing) -> None:
    """Add the machines of the inventory to the listing."""
    document = checked_yaml(text, source, listing)
    if isinstance(document, Map):
        _YamlReader(source, listing).read(document)
    elif not listing.problems:
        listing.bad(Place(source, document.line), "an inventory is a map of groups: `all:`")


def checked_yaml(text: str, source: str, listing: Listing) -> Node:
    """The document; lines that are no YAML go to the listing."""
    document, problems = read_yaml(text)
    reasons = dict(problems)
    for number, line in enumerate(text.split("\n"), 1):
        if odd := odd_letter(line.rstrip("\r")):
            reasons.setdefault(number, odd)
    for number, reason in reasons.items():
        listing.bad(Place(source, number), reason)
    return document


def variables_of(node: Map, source: str) -> dict[str, Variable]:
    """The keys of a map as variables."""
    return {
        name: Variable(_plain(value), Place(source, node.lines[name]))
        for name, value in node.values.items()
        if name not in VARIABLES or not isinstance(value, Map | Refused)
    }


def _plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [_plain(one) for one in node.items]
    return ""


class _YamlReader:
    def __init__(self, source: str, listing: Listing) -> None:
        self._source = source
        self._listing = listing
        self._groups = Groups()

    def read(self, document: Map) -> None:
        for name, node in document.values.items():
            self._group(name, node, document.lines[name])
        self._groups.resolve(self._listing)

    def _place(self, line: int) -> Place:
        return Place(self._source, line)

    def _map(self, node: Node, line: int, what: str) -> Map | None:
        """The node if it is a map; an empty value is an empty one."""
        if isinstance(node, Map):
            return node
        if not (isinstance(node, Scalar) and not node.text):
            reason = f": {node.reason}" if isinstance(node, Refused) else ""
            self._listing.bad(self._place(line), f"{what} is a map, `key: value` each{reason}")
        return None

    def _group(self, name: str, node: Node, line: int) -> None:
        group = self._groups.group(name, self._place(line))
        parts = self._map(node, line, f"group {shown(name)}")
        if parts is None:
            return
        for part, value in parts.values.items():
            at = parts.lines[part]
            if part not in _PARTS:
                self._listing.bad(
                    self._place(at), f"{shown(part)}: a group has hosts, vars and children"
                )
                continue
            found = self._map(value, at, part)
            if found is None:
                continue
            if part == "hosts":
                for written, said in found.values.items():
                    self._machines(name, written, said, found.lines[written])
            elif part == "vars":
                group.variables |= self._variables(found)
            else:
                for child, inner in found.values.items():
                    group.children[child] = self._place(found.lines[child])
                    self._group(child, inner, found.lines[child])

    def _machines(self, group: str, written: str, node: Node, line: int) -> None:
        place = self._place(line)
        said = self._map(node, line, f"machine {shown(written)}")
        variables = self._variables(said) if said is not None else {}
        fields = read_variables(variables, self._listing)
        for entry in read_word(written, place, self._listing):
            entry.fields |= fields
            self._groups.groups[group].machines.setdefault(entry.key, place)
            self._groups.add_machine(entry, self._listing)

    def _variables(self, node: Map) -> dict[str, Variable]:
        for name, value in node.values.items():
            if name in VARIABLES and isinstance(value, Map | Refused):
                reason = value.reason if isinstance(value, Refused) else "a map"
                self._listing.bad(self._place(node.lines[name]), f"{name}: {reason}")
        return variables_of(node, self._source)
