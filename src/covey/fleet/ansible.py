"""The part of an Ansible inventory that says how machines are reached. Pure.

Groups, their children and their variables, whichever file they were written in. A variable that
names no field is Ansible's own business and left alone; one that changes how ssh connects, and that
ssh_config should say instead, is worth a note.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from covey.fleet.fields import FIELDS, Value, read_labels, shown
from covey.fleet.listing import Entry, Listing, Place, Variable

#: Variables of Ansible, old spellings last -> our field.
VARIABLES = {
    "ansible_host": "address",
    "ansible_user": "user",
    "ansible_port": "port",
    "ansible_python_interpreter": "python",
    "ansible_ssh_host": "address",
    "ansible_ssh_user": "user",
    "ansible_ssh_port": "port",
    # MPI's word in a hostfile, and ours.
    "slots": "slots",
    **{f"covey_{key}": key for key in FIELDS},
}
#: An inventory has at most this many groups.
GROUPS_MAX = 1_000
#: Groups that every machine, or every other one, is in.
IMPLIED_GROUPS = frozenset({"all", "ungrouped"})

#: Beside the fields of a machine, until it is known whether it is reached by ssh.
_CONNECTION = "connection"
_SSH_CONNECTIONS = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"})
_FOR_SSH_CONFIG = frozenset(
    {
        "ansible_ssh_common_args",
        "ansible_ssh_extra_args",
        "ansible_ssh_args",
        "ansible_ssh_private_key_file",
        "ansible_private_key_file",
        "ansible_ssh_executable",
    }
)
_PASSWORDS = frozenset({"ansible_password", "ansible_ssh_pass", "ansible_ssh_password"})


@dataclass(slots=True)
class Group:
    """A group of an inventory."""

    name: str
    place: Place
    machines: dict[str, Place] = field(default_factory=dict[str, Place])
    children: dict[str, Place] = field(default_factory=dict[str, Place])
    variables: dict[str, Variable] = field(default_factory=dict[str, Variable])


@dataclass(slots=True)
class Groups:
    """All that an inventory says, before it is worked out."""

    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    #: `Entry.key` -> what the lines of that machine say.
    machines: dict[str, Entry] = field(default_factory=dict[str, Entry])

    def group(self, name: str, place: Place) -> Group:
        """The group of that name, made where it is first mentioned."""
        return self.groups.setdefault(name, Group(name, place))

    def add_machine(self, entry: Entry, listing: Listing) -> None:
        """A line about a machine; it may have several, if they agree."""
        known = self.machines.setdefault(entry.key, entry)
        for key, value in entry.fields.items():
            if known.fields.setdefault(key, value) != value:
                listing.bad(
                    entry.place,
                    f"{key} of {entry.name} is {value} here and {known.fields[key]} in"
                    f" {known.place}",
                )

    def resolve(self, listing: Listing) -> None:
        """Put the machines with their groups' names and variables into the listing."""
        above = self._above(listing)
        for name, variables in listing.group_variables.items():
            if name in self.groups or name in IMPLIED_GROUPS:
                self.group(name, Place("")).variables |= variables
        said = {
            name: read_variables(group.variables, listing) for name, group in self.groups.items()
        }
        for key, entry in self.machines.items():
            entry.fields |= read_variables(
                listing.machine_variables.get(entry.fallback, {}), listing
            )
            direct = [name for name, group in self.groups.items() if key in group.machines]
            levels = _levels(direct, above)
            levels.setdefault("all", max(levels.values(), default=0) + 1)
            entry.of_groups = self._inherited(entry, levels, said, listing)
            labels = [name for name in levels if name not in IMPLIED_GROUPS]
            entry.labels = tuple(dict.fromkeys([*entry.labels, *labels]))
            if _is_by_ssh(entry, listing):
                listing.entries.append(entry)

    def _inherited(
        self,
        entry: Entry,
        levels: Mapping[str, int],
        said: Mapping[str, Mapping[str, Value]],
        listing: Listing,
    ) -> dict[str, Value]:
        """The nearest group wins; among equals the last in the alphabet, as for Ansible."""
        inherited: dict[str, Value] = {}
        giver: dict[str, str] = {}
        for name in sorted(levels, key=lambda name: (-levels[name], name)):
            for key, value in said.get(name, {}).items():
                before = giver.get(key)
                is_tie = before is not None and levels[before] == levels[name]
                if is_tie and inherited[key] != value and key not in entry.fields:
                    listing.note(
                        entry.place,
                        f"{key} of {entry.name} is {value} by group {name}, not"
                        f" {inherited[key]} by group {before}",
                    )
                inherited[key] = value
                giver[key] = name
        return inherited

    def _above(self, listing: Listing) -> dict[str, list[str]]:
        """Group -> the groups whose child it is."""
        above: dict[str, list[str]] = {}
        for number, group in enumerate(self.groups.values()):
            if number == GROUPS_MAX:
                listing.bad(group.place, f"more than {GROUPS_MAX:,} groups")
                return {}
            if group.name not in IMPLIED_GROUPS:
                try:
                    read_labels((group.name,))
                except ValueError as error:
                    listing.bad(group.place, str(error))
            for child, place in group.children.items():
                if child not in self.groups:
                    listing.bad(place, f"there is no group {shown(child)} to be a child")
                above.setdefault(child, []).append(group.name)
        for name in self.groups:
            if name in _levels(above.get(name, []), above):
                listing.bad(self.groups[name].place, f"group {shown(name)} is its own child")
        return above


def _levels(start: list[str], above: Mapping[str, list[str]]) -> dict[str, int]:
    """Group -> how many steps above a machine it is (the longest way without going in a circle)."""
    levels: dict[str, int] = {}
    row, level = list(dict.fromkeys(start)), 0
    while row and level <= len(above) + 1:
        for name in row:
            levels[name] = level
        row = list(dict.fromkeys(parent for name in row for parent in above.get(name, [])))
        level += 1
    return levels


def read_variables(variables: Mapping[str, Variable], listing: Listing) -> dict[str, Value]:
    """The fields that the variables set; what cannot be one goes to the listing."""
    read: dict[str, Value] = {}
    for name, variable in variables.items():
        key = VARIABLES.get(name)
        if name in _FOR_SSH_CONFIG:
            listing.note(variable.place, f"{name} is not read: say it in ssh_config")
        elif name in _PASSWORDS:
            listing.note(variable.place, f"{name} is not read: covey up --ask-password asks once")
        elif name == "ansible_connection":
            read[_CONNECTION] = str(variable.value)
        elif key is not None and not (key == "python" and str(variable.value).startswith("auto")):
            value = read_field(key, variable.value, variable.place, listing)
            if value is not None:
                # The new spelling stands first in VARIABLES and wins, whatever the order here.
                is_old = name.startswith("ansible_ssh_")
                read = {key: value, **read} if is_old else {**read, key: value}
    return read


def read_field(key: str, value: object, place: Place, listing: Listing) -> Value | None:
    """The value of a field; None when it cannot be one, which the listing then says."""
    if "{{" in str(value):
        listing.bad(place, f"{key} is a template: write the value itself")
        return None
    try:
        return FIELDS[key].read(value)
    except ValueError as error:
        listing.bad(place, str(error))
        return None


def _is_by_ssh(entry: Entry, listing: Listing) -> bool:
    """Whether it is; an inventory may well hold others, which are left out with a note."""
    connection = (entry.of_groups | entry.fields).get(_CONNECTION, "ssh")
    entry.fields.pop(_CONNECTION, None)
    entry.of_groups.pop(_CONNECTION, None)
    if connection in _SSH_CONNECTIONS:
        return True
    is_local = connection == "local"
    how = "is this machine" if is_local else f"is reached by {shown(connection)}, not by ssh"
    listing.note(entry.place, f"{entry.fallback} {how}: left out")
    return False
