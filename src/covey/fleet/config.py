"""covey.toml: the machines and the bus of a project or a user.

./covey.toml and $XDG_CONFIG_HOME/covey/config.toml have one form. Machines are those of the first
of the two that names any; of every other key the first that has it wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from covey.fleet.fields import Value
from covey.fleet.listing import Listing


@dataclass(frozen=True, slots=True)
class Config:
    """What the files say, checked."""

    #: [bus] url, listen
    bus: Mapping[str, str] = field(default_factory=dict[str, str])
    #: [defaults]
    defaults: Mapping[str, Value] = field(default_factory=dict[str, Value])
    #: The machines of the file, its groups worked in.
    listing: Listing = field(default_factory=Listing)
    #: The file that names the machines, as shown; "" = none does.
    source: str = ""


def read_config(env: Mapping[str, str] | None = None) -> Config:
    """The files where they are looked for.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    raise NotImplementedError
