"""The user of a call, and what users may ask for: of a cluster that is up, else of covey.toml.

`covey up` writes [users] of covey.toml into the state directory of the cluster, so that whoever
accepts a job there sees the same table, wherever it was called.
"""

import importlib
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import cast

from covey.bus.record import write_private
from covey.fleet.call_settings import has_config
from covey.model.users import Users

_FILE = "users.json"

_Reader = Callable[[], Users | None]


def user_of_call() -> str:
    """Whose share the work of this process counts against, unless it says another."""
    if name := os.environ.get("USER") or os.environ.get("LOGNAME"):
        return name
    # Neither is set in a container, or in what cron starts.
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def users_of_cluster(state_dir: Path) -> Users:
    """The users of a cluster, as `up` found them."""
    try:
        return Users.from_wire(json.loads((state_dir / _FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Users()


def write_users(state_dir: Path, users: Users) -> None:
    """Say who the users of a cluster are."""
    write_private(state_dir / _FILE, json.dumps(users.to_wire(), indent=1) + "\n")


def users_of_call() -> Users:
    """The users of covey.toml, for what runs on this machine alone.

    Raises:
        InventoryError: its [users] makes no sense.
    """
    if not has_config():
        return Users()
    found = importlib.import_module("covey.fleet.config").read_users
    return cast(_Reader, found)() or Users()
