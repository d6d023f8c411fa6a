"""Which form a list of machines has, seen from what stands in it. Pure."""

import re
from typing import Literal

from covey.fleet.formats_csv import heading, is_row_with_address, read_csv
from covey.fleet.formats_lines import read_lines, significant
from covey.fleet.formats_toml import read_toml
from covey.fleet.formats_yaml import read_ansible_yaml
from covey.fleet.listing import LINE_MAX, Listing, Place

Form = Literal["lines", "csv", "yaml", "toml"]

_SUFFIXES: dict[str, Form] = {
    ".csv": "csv",
    ".yml": "yaml",
    ".yaml": "yaml",
    ".toml": "toml",
    ".ini": "lines",
}
_TOML = re.compile(r"^\s*(?:hosts\s*=\s*\[|\[(?:machines|groups)\.[^\]]+\])", re.MULTILINE)
_YAML_KEY = re.compile(r"""(?:"[^"]+"|'[^']+'|[\w.-]+)\s*:(?:\s+[{&!].*|\s*(?:#.*)?)\Z""")
#: How a file begins that names no machines, and what to do.
_FOREIGN = {
    "#!": "a program is not run: give what `ansible-inventory --list --yaml` prints",
    "{": "JSON is not read: one machine a line will do (covey join --config reads antnest's)",
    "<": "XML is not read: one machine a line will do",
}


def form_of(text: str, name: str) -> Form:
    """The form of a text; what it is called only helps where the text could be several."""
    first = next((line for _, line in significant(text)), "")[:LINE_MAX]
    by_name = _SUFFIXES.get(name[name.rfind(".") :].lower() if "." in name else "")
    if by_name == "toml" or (by_name is None and _TOML.search(text)):
        return "toml"
    if by_name == "yaml" or text.startswith(("---", "%YAML")) or _YAML_KEY.match(first):
        return "yaml"
    if by_name == "csv" or heading(first) or is_row_with_address(first):
        return "csv"
    return "lines"


def read_listing(text: str, name: str, listing: Listing) -> None:
    """Add the machines of a text to the listing, whatever its form."""
    for beginning, reason in _FOREIGN.items():
        if text.lstrip().startswith(beginning):
            listing.bad(Place(name, 1), reason)
            return
    form = form_of(text, name)
    if form == "toml":
        config = read_toml(text, name, listing)
        for entry in config.listing.entries:
            entry.of_groups = {**config.defaults, **entry.of_groups}
        listing.entries += config.listing.entries
    elif form == "yaml":
        read_ansible_yaml(text, name, listing)
    elif form == "csv":
        read_csv(text, name, listing)
    elif _is_unclear(text):
        number, _ = next(significant(text))
        listing.bad(
            Place(name, number),
            "is this a list or a row of a table? One machine a line, or `name,address,group` above",
        )
    else:
        read_lines(text, name, listing)


def _is_unclear(text: str) -> bool:
    """`a,b` may be two machines, or one called `a` at address `b`."""
    first = next((line for _, line in significant(text)), "")[:LINE_MAX]
    return bool(re.fullmatch(r"[\w.-]+(?:\s*,\s*[\w.-]+)+", first))
