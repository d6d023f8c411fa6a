"""How clients call a bus, and what is at it."""

from dataclasses import dataclass

#: So much of a cluster's name is kept where something is put behind it (`settings.NAME_PATTERN`).
SPACE_NAME_MAX = 40
#: The one agent of a private run.
AGENT = "here"


@dataclass(frozen=True, slots=True)
class BusAddress:
    """Where the bus of a cluster is, and our credential."""

    url: str
    user: str
    password: str
    is_ours: bool = True
    #: PEM of the authority that counts where the bus speaks TLS ("" = those of the system).
    ca: str = ""
