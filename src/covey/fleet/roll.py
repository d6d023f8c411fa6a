"""From what was written of machines to the machines: defaults filled in, duplicates found. Pure."""

from dataclasses import fields, replace

from covey.bus.config import ACCOUNT_USER
from covey.fleet.fields import Value, read_address
from covey.fleet.formats_toml import Config
from covey.fleet.host import Host
from covey.fleet.listing import MACHINES_MAX, Entry, Listing

#: Names that are taken: of the head, of its user on the bus, of all machines in `--limit`.
RESERVED_NAMES = frozenset({ACCOUNT_USER, "head", "all"})

#: In a message about two lines that differ, this is what they may differ in.
_COMPARED = tuple(one.name for one in fields(Host) if one.name not in ("name", "labels", "where"))


def hosts_of(listing: Listing, config: Config, slots: str = "") -> tuple[Host, ...]:
    """The machines of a listing; what is wrong with them goes to it."""
    known = {entry.name: entry for entry in config.listing.entries}
    found: dict[str, Host] = {}
    addresses: dict[tuple[str, str, int], str] = {}
    if len(listing.entries) > MACHINES_MAX:
        place = listing.entries[MACHINES_MAX].place
        listing.bad(place, f"more than {MACHINES_MAX:,} machines")
        return ()
    for entry in listing.entries:
        host = _host(entry, known.get(entry.name), config, slots, listing)
        if host is None:
            continue
        if (other := found.get(host.name)) is not None:
            found[host.name] = _merged(other, host, entry, listing)
            continue
        found[host.name] = host
        login = (host.address, host.user, host.port)
        if (first := addresses.setdefault(login, host.name)) != host.name:
            listing.note(entry.place, f"{host.name} is at the same address as {first}")
    return tuple(found.values())


def _host(
    entry: Entry, known: Entry | None, config: Config, slots: str, listing: Listing
) -> Host | None:
    said: dict[str, Value] = {**config.defaults}
    labels = entry.labels
    if known is not None and known is not entry:
        said |= known.of_groups | entry.of_groups | known.fields
        labels += known.labels + _labels(known.fields)
    else:
        said |= entry.of_groups
    if slots:
        said["slots"] = slots
    said |= entry.fields
    labels += _labels(entry.of_groups) + _labels(entry.fields)
    said.pop("groups", None)
    if entry.name in RESERVED_NAMES:
        listing.bad(entry.place, f"a machine cannot be called {entry.name}: give it another name")
        return None
    if "address" not in said:
        try:
            said["address"] = read_address(entry.fallback)
        except ValueError as error:
            listing.bad(entry.place, f"{entry.name} has no address, and {error}")
            return None
    labels = tuple(dict.fromkeys(labels))
    # Each value was read by the reader of its field, so its type is that of the field of Host.
    return replace(
        Host(entry.name, str(said.pop("address")), labels=labels, where=str(entry.place)),
        **said,  # pyright: ignore[reportArgumentType]
    )


def _labels(said: dict[str, Value]) -> tuple[str, ...]:
    labels = said.get("groups", ())
    return labels if isinstance(labels, tuple) else ()


def _merged(first: Host, again: Host, entry: Entry, listing: Listing) -> Host:
    """One machine for two lines that agree; lines that do not are a problem."""
    differing = [key for key in _COMPARED if getattr(first, key) != getattr(again, key)]
    for key in differing:
        here, there = getattr(again, key), getattr(first, key)
        listing.bad(
            entry.place,
            f"{first.name}: {key} {_told(here)} here, {_told(there)} in {first.where}",
        )
    if not differing:
        where = f"in {first.where}" if first.where != again.where else "twice"
        listing.note(entry.place, f"{first.name} is named {where} already: taken once")
    return replace(first, labels=tuple(dict.fromkeys(first.labels + again.labels)))


def _told(value: object) -> str:
    return "not said" if value in ("", 0, ()) else str(value)
