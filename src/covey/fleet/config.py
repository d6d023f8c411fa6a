"""Finds covey.toml: the machines and the bus of a project or a user.

./covey.toml and $XDG_CONFIG_HOME/covey/config.toml have one form. Machines are those of the first
of the two that names any; of every other key the first that has it wins.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from covey.fleet.call_settings import config_places
from covey.fleet.formats_toml import Config, read_bus_table, read_toml, read_users_table
from covey.fleet.listing import Listing, Place, problems_error
from covey.fleet.source import read_text, why_untrusted
from covey.model.users import Users


def read_config(env: Mapping[str, str] | None = None, directory: Path | None = None) -> Config:
    """What the files say, the nearer before the other.

    directory: where ./covey.toml is; None = the current one.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    merged = Config()
    for path, name in reversed(config_places(os.environ if env is None else env, directory)):
        if not path.is_file():
            continue
        one = read_config_file(path, name)
        merged = Config(
            bus={**merged.bus, **one.bus},
            defaults={**merged.defaults, **one.defaults},
            users=merged.users if one.users is None else one.users,
            listing=one.listing if one.source else merged.listing,
            source=one.source or merged.source,
        )
    return merged


def read_config_file(path: Path, name: str) -> Config:
    """One file of that form, which nobody named on the command line: it must be the user's own.

    Raises:
        InventoryError: with every problem in `.problems`.
    """
    listing = Listing()
    if reason := why_untrusted(path):
        listing.bad(Place(name), reason)
        raise problems_error(listing)
    config = read_toml(read_text(path, name, listing), name, listing)
    if listing.problems:
        raise problems_error(listing)
    return config


def read_bus(env: Mapping[str, str], directory: Path | None = None) -> dict[str, str]:
    """The [bus] of the files, whatever else is wrong in them.

    Raises:
        InventoryError: no TOML, or a [bus] that makes no sense.
    """
    listing, bus = Listing(), dict[str, str]()
    for path, name in reversed(config_places(env, directory)):
        if path.is_file() and not why_untrusted(path):
            bus |= read_bus_table(read_text(path, name, listing), name, listing)
    if listing.problems:
        raise problems_error(listing)
    return bus


def read_users(env: Mapping[str, str] | None = None, directory: Path | None = None) -> Users | None:
    """The [users] of the nearest file that has any, whatever else is wrong in them; None = none.

    Raises:
        InventoryError: no TOML, or a [users] that makes no sense.
    """
    listing = Listing()
    for path, name in config_places(os.environ if env is None else env, directory):
        if not path.is_file() or why_untrusted(path):
            continue
        users = read_users_table(read_text(path, name, listing), name, listing)
        if listing.problems:
            raise problems_error(listing)
        if users is not None:
            return users
    return None
