"""A machine a row: `name,ip,group…` as FISSION reads it, or columns by their heading. Pure.

name,ip,group                    name,address,user,port,slots,groups
pi1,192.168.4.2,pis              lab1,10.0.0.1,covey,2222,8,"lab gpu"
pi2,192.168.4.3,pis,kitchen
"""

import csv
import difflib
import ipaddress

from covey.fleet.ansible import read_field
from covey.fleet.fields import FIELDS, Value, shown
from covey.fleet.formats_lines import odd_letter, significant
from covey.fleet.listing import Entry, Listing, Place
from covey.fleet.login import slug

#: Heading -> field (`name` is the machine's name).
COLUMNS = {
    "name": "name",
    "machine": "name",
    "ip": "address",
    "host": "address",
    "hostname": "address",
    "group": "groups",
    "label": "groups",
    "labels": "groups",
    **{key: key for key in FIELDS},
}
#: The columns of a file without a heading; whatever follows is a group each.
_COLUMNS_WITHOUT_HEADING = ["name", "address", "groups"]


def cells(line: str) -> list[str] | None:
    """The cells of a row; None when its quotes do not end."""
    try:
        return [
            cell.strip() for cell in next(csv.reader([line], skipinitialspace=True, strict=True))
        ]
    except (csv.Error, StopIteration):
        return None


def heading(line: str) -> list[str] | None:
    """The columns that a first line names; None when it is a row already."""
    names = [cell.lower() for cell in cells(line) or []]
    known = [COLUMNS.get(name) for name in names]
    if len(known) > 1 and ("name" in known or "address" in known) and known.count(None) < 2:
        return names
    return None


def is_row_with_address(line: str) -> bool:
    """Whether the second cell is an IP address: a row of FISSION's."""
    row = cells(line) or []
    try:
        ipaddress.ip_address(row[1] if len(row) > 1 else "")
    except ValueError:
        return False
    return True


def read_csv(text: str, source: str, listing: Listing) -> None:
    """Add the machines of the rows to the listing."""
    columns = list(_COLUMNS_WITHOUT_HEADING)
    for number, (line_number, line) in enumerate(significant(text)):
        place = Place(source, line_number)
        if odd := odd_letter(line):
            listing.bad(place, odd)
        elif number == 0 and (names := heading(line)):
            columns = _columns(names, place, listing)
        elif (row := cells(line)) is None:
            listing.bad(place, 'a " is not closed on this line')
        elif entry := _entry(row, columns, place, listing):
            listing.entries.append(entry)


def _columns(names: list[str], place: Place, listing: Listing) -> list[str]:
    columns = [COLUMNS.get(name, "") for name in names]
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f" — did you mean {near[0]}?" if near else f": {', '.join(['name', *FIELDS])}"
            listing.bad(place, f"no column is called {shown(name)}{hint}")
    for field in dict.fromkeys(columns):
        if field not in ("groups", "") and columns.count(field) > 1:
            listing.bad(place, f"two columns say the {field}")
    return columns


def _entry(row: list[str], columns: list[str], place: Place, listing: Listing) -> Entry | None:
    if len(row) > len(columns) and columns[-1] != "groups" and any(row[len(columns) :]):
        listing.bad(place, f"{len(row)} cells, but the heading names {len(columns)} columns")
        return None
    # The last column may go on: a group each.
    columns = columns + ["groups"] * (len(row) - len(columns))
    said: dict[str, Value] = {}
    groups: tuple[str, ...] = ()
    written = ""
    for column, cell in zip(columns, row, strict=False):
        if not cell or not column:
            continue
        if column == "name":
            written = cell
        elif (value := read_field(column, cell, place, listing)) is None:
            return None
        elif column == "groups":
            groups += value if isinstance(value, tuple) else ()
        else:
            said[column] = value
    written = written or str(said.get("address", ""))
    if not slug(written):
        listing.bad(place, "neither a name nor an address" if not written else _unnamable(written))
        return None
    return Entry(place, slug(written), said, labels=groups, fallback=written)


def _unnamable(written: str) -> str:
    return f"{shown(written)} has no letter that can be in a name"
