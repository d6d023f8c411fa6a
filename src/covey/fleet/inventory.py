"""The machines that a call is about: from words, files, COVEY_HOSTS or covey.toml.

The first of these that names machines is the list: words and files of the command line,
COVEY_HOSTS, ./covey.toml, $XDG_CONFIG_HOME/covey/config.toml. What covey.toml says of a machine by
its name (slots, groups …) holds for it wherever it was named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from covey.fleet.config import Config
from covey.fleet.host import Host
from covey.fleet.limit import select
from covey.fleet.listing import Problem


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

    files: paths; `-` is standard input, `..` GNU parallel's ~/.parallel/sshloginfile.
    config: what covey.toml says; None = read it from where it is looked for.
    slots: `--slots`: wins over covey.toml, loses against `8/` of a word or line.

    An inventory without hosts: nothing names a machine anywhere.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    raise NotImplementedError
