"""Settings of one call: its flags, the environment, and what covey.toml says of the bus."""

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from covey.settings import Settings, read_settings

#: The file of a project, in the directory where covey is called.
FILE_NAME = "covey.toml"

_BusReader = Callable[[Mapping[str, str]], dict[str, str]]


def settings_of_call(cluster: str | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """Where this call works: flags over the environment over covey.toml over defaults.

    Raises:
        SettingsError: a name or path that cannot be used.
        InventoryError: a covey.toml whose [bus] makes no sense.
    """
    env = os.environ if env is None else env
    bus: dict[str, str] = {}
    if has_config(env):
        found = importlib.import_module("covey.fleet.config").read_bus
        bus = cast(_BusReader, found)(env)
    return read_settings(env, cluster=cluster, bus=bus)


def has_config(env: Mapping[str, str] | None = None) -> bool:
    """Whether there is a covey.toml. What reads it is dear, and most calls have none."""
    return any(path.is_file() for path, _ in config_places(os.environ if env is None else env))


def config_places(env: Mapping[str, str], directory: Path | None = None) -> list[tuple[Path, str]]:
    """(file, as shown) of each covey.toml that would be read, nearest first.

    directory: where ./covey.toml is; None = the current one.
    """
    home = Path(env.get("HOME") or Path.home())
    users = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "covey" / "config.toml"
    return [((directory or Path()) / FILE_NAME, FILE_NAME), (users, str(users))]
