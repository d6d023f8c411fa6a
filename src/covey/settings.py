"""One frozen Settings, read from defaults < environment < flags; and where state lives.

Reads the environment, touches no file.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covey.errors import SettingsError

#: What may be a name (of a cluster, an agent, a scheduler): safe as one token of a bus subject.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

#: Arguments and results up to this many bytes ride inside messages; larger ones go by digest.
INLINE_MAX_BYTES = 64 * 1024
#: One bus message carries at most this many bytes of payload (nats-server allows 1 MiB).
MESSAGE_MAX_BYTES = 512 * 1024
#: A result larger than this is refused (ResultTooLarge).
RESULT_MAX_BYTES = 1024 * 1024 * 1024
#: Longest wait for an answer of the head.
ANSWER_TIMEOUT_S = 10.0
#: Longest wait for the start of a part of covey: on a small and busy machine it takes its time, and
#: a part that dies is noticed at once.
START_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this call works. Paths are absolute."""

    #: $COVEY_HOME, else $XDG_STATE_HOME/covey, else ~/.local/state/covey.
    home: Path
    #: $COVEY_CLUSTER or --cluster.
    cluster: str = "default"
    #: $COVEY_NATS_URL or `[bus] url`: a bus that runs already ("" = start our own).
    nats_url: str = ""
    #: `[bus] listen`: where the bus listens for agents besides loopback, `tls://…` ("" = nowhere).
    bus_listen: str = ""
    #: $COVEY_NATS_SERVER or --nats-server: the binary to start ("" = find one).
    nats_server: str = ""
    #: $COVEY_HEAD or --head: the machine whose head is used, `[user@]host[:port]` ("" = here).
    head: str = ""
    #: Where state is instead, when `home` is on a network file system (`scheduler.places`).
    local_state: Path | None = None

    @property
    def state_dir(self) -> Path:
        """$COVEY_HOME/<cluster>: ledger, bus data, keys (0600), logs, private runs."""
        return self.local_state or self.home / self.cluster


def read_settings(
    env: Mapping[str, str] | None = None,
    *,
    cluster: str | None = None,
    bus: Mapping[str, str] | None = None,
) -> Settings:
    """Settings out of the environment, overridden by flags, over the [bus] of covey.toml.

    Raises:
        SettingsError: a name or path that cannot be used.
    """
    env = os.environ if env is None else env
    bus = {} if bus is None else bus
    name = cluster or env.get("COVEY_CLUSTER") or "default"
    if not NAME_PATTERN.match(name):
        raise SettingsError(
            f"cluster name {name!r}: use letters, digits, - and _ (at most 64)",
            key="COVEY_CLUSTER",
            value=name,
        )
    if home := env.get("COVEY_HOME"):
        base = Path(home).expanduser().absolute()
    elif state := env.get("XDG_STATE_HOME"):
        base = Path(state).expanduser().absolute() / "covey"
    else:
        base = Path.home() / ".local" / "state" / "covey"
    return Settings(
        home=base,
        cluster=name,
        nats_url=env.get("COVEY_NATS_URL") or bus.get("url", ""),
        bus_listen=bus.get("listen", ""),
        nats_server=env.get("COVEY_NATS_SERVER", ""),
        head=env.get("COVEY_HEAD", "").strip(),
    )
