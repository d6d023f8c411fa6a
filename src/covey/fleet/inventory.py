"""The machines that a call is about: from words, files, COVEY_HOSTS or covey.toml.

The first of these that names machines is the list: words and files of the command line,
COVEY_HOSTS, ./covey.toml, $XDG_CONFIG_HOME/covey/config.toml. What covey.toml says of a machine by
its name (slots, groups …) holds for it wherever it was named.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from covey.errors import UsageError
from covey.fleet.config import read_config
from covey.fleet.formats import read_listing
from covey.fleet.formats_lines import read_node_file
from covey.fleet.formats_toml import Config
from covey.fleet.host import Host
from covey.fleet.limit import select
from covey.fleet.listing import Listing, Place, Problem, problems_error
from covey.fleet.login import read_word
from covey.fleet.roll import hosts_of
from covey.fleet.source import decoded, read_text
from covey.fleet.ssh_config import ssh_names
from covey.fleet.variable_files import read_variable_files

#: What the words of the command line are called in messages.
COMMAND_LINE = "the command line"
#: Where GNU parallel's `..` and `.` are.
SSHLOGINFILES = {"..": "~/.parallel/sshloginfile", ".": "/etc/parallel/sshloginfile"}


@dataclass(frozen=True, slots=True)
class Inventory:
    """Machines, checked, and where they were named."""

    hosts: tuple[Host, ...]
    #: Harmless, but worth a sentence: duplicates, what was not read.
    notes: tuple[Problem, ...] = ()
    #: `the command line`, `hosts.txt`, `COVEY_HOSTS`, `covey.toml`; "" = nothing names a machine.
    source: str = ""

    def limited(self, pattern: str) -> "Inventory":
        """Only the machines that `--limit` means ("" = all).

        Raises:
            UsageError: a word of the pattern fits none.
        """
        if not pattern:
            return self
        names = set(select(((host.name, host.labels) for host in self.hosts), pattern))
        chosen = tuple(host for host in self.hosts if host.name in names)
        return Inventory(chosen, self.notes, self.source)


def read_inventory(
    words: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    config: Config | None = None,
    slots: str = "",
) -> Inventory:
    """The machines named by `words` (`8/pi@rack:2222`) and `files`, else by env or covey.toml.

    words: `@pis` is the machines of that group in covey.toml, `lab*` those of covey.toml and of
        ssh_config.
    files: paths; `-` is standard input, `..` GNU parallel's ~/.parallel/sshloginfile.
    config: what covey.toml says; None = read it from where it is looked for.
    slots: `--slots`: wins over covey.toml, loses against `8/` of a word or line.

    An inventory without hosts: nothing names a machine anywhere.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    env = os.environ if env is None else env
    config = read_config(env) if config is None else config
    listing = Listing()
    if words or files:
        source = ", ".join([*([COMMAND_LINE] if words else []), *files])
        for word in words:
            _read_word(word, Place(COMMAND_LINE), config, env, listing)
        for file in files:
            _read_file(file, env, listing)
    elif named := env.get("COVEY_HOSTS", "").strip():
        source = "COVEY_HOSTS"
        if "\n" not in named and _is_path(named):
            source = f"COVEY_HOSTS ({named})"
            _read_file(named, env, listing)
        else:
            for word in named.split():
                _read_word(word, Place(source), config, env, listing)
    else:
        source = config.source
        listing.extend(config.listing)
    hosts = hosts_of(listing, config, slots)
    if listing.problems:
        raise problems_error(listing)
    return Inventory(hosts, tuple(listing.notes), source if hosts else "")


def check_files(files: Sequence[str], env: Mapping[str, str] | None = None) -> Inventory:
    """What `read_inventory` makes of the files alone, without covey.toml.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    return read_inventory((), files, env=env, config=Config())


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~/")) or Path(text).is_file()


def _read_word(
    word: str, place: Place, config: Config, env: Mapping[str, str], listing: Listing
) -> None:
    """A word; `@group` means machines of covey.toml, a pattern those of ssh_config too."""
    is_group = word.startswith("@") and "/" not in word
    if not is_group and not any(letter in word for letter in "*?"):
        listing.entries += read_word(word, place, listing)
        return
    known = list(config.listing.entries)
    if not is_group:
        names = {entry.name for entry in known}
        # Names that ssh_config may hold but no list: what they are is nobody's mistake here.
        for name in ssh_names(env):
            known += [e for e in read_word(name, place, Listing()) if e.name not in names]
    try:
        chosen = set(select(((one.name, one.labels) for one in known), word, "the pattern"))
    except UsageError as error:
        where = "covey.toml" if is_group else "covey.toml or ssh_config"
        listing.bad(place, f"{error} in {where}")
        return
    listing.entries += [entry for entry in known if entry.name in chosen]


def _read_file(file: str, env: Mapping[str, str], listing: Listing) -> None:
    found = Listing()
    if file == "-":
        text = decoded(sys.stdin.buffer.read(), "standard input", found)
        read_listing(text, "standard input", found)
    else:
        path = Path(SSHLOGINFILES.get(file, file)).expanduser()
        if path.is_dir():
            listing.bad(Place(file), "a directory: name a file in it")
            return
        text = read_text(path, file, found)
        node_file = env.get("PBS_NODEFILE")
        if node_file and path.exists() and Path(node_file).exists() and path.samefile(node_file):
            read_node_file(text, file, found)
        else:
            read_variable_files(path, found)
            read_listing(text, file, found)
    if not found.entries and not found.problems:
        found.bad(Place(file), "names no machine")
    listing.extend(found)
