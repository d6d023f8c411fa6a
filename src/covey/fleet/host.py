"""A machine as its user names it: what ssh is called with, and what it is to run. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """One line of an inventory, checked.

    Whatever is empty or 0 is left to ssh_config, or to the machine.
    """

    #: Unique in a cluster; safe as one token of a bus subject (`settings.NAME_PATTERN`).
    name: str
    #: What ssh is called with: a name of ssh_config, a host name, an IP address.
    address: str
    user: str = ""
    port: int = 0
    #: As `--slots` takes it: `4`, `150%`, `physical`; "" = the CPUs that may be used there.
    slots: str = ""
    #: Groups it is in (`--limit @label`).
    labels: tuple[str, ...] = ()
    #: Its share of work and files against the others.
    weight: float = 1.0
    #: Command or path of its Python; "" = the first of python3, python3.14 … python3.11.
    python: str = ""
    #: Where its tasks work; "" = the home directory.
    workdir: str = ""
    #: What pip installs for its tasks, in an environment of their own; with versions as pip writes.
    packages: tuple[str, ...] = ()
    #: Where it was named (`hosts.txt:3`), for messages.
    where: str = ""

    @property
    def login(self) -> str:
        """`user@address:port`, as far as it is known: for people."""
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        address = f"[{self.address}]" if port and ":" in self.address else self.address
        return f"{user}{address}{port}"
