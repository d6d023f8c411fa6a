"""A file of machines as text: its size, its encoding, whose it is."""

import os
import shlex
import stat
from pathlib import Path

from covey.fleet.listing import Listing, Place

#: A larger file is no list of machines.
FILE_MAX_BYTES = 1024 * 1024


def read_text(path: Path, name: str, listing: Listing) -> str:
    """A file as text, without a byte order mark; "" when the listing says why it cannot be."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        listing.bad(Place(name), (error.strerror or str(error)).lower())
        return ""
    return decoded(data, name, listing)


def decoded(data: bytes, name: str, listing: Listing) -> str:
    """Bytes as text, without a byte order mark; "" when the listing says why they cannot be."""
    if len(data) > FILE_MAX_BYTES:
        listing.bad(Place(name), f"larger than {FILE_MAX_BYTES:,} bytes: no list of machines")
        return ""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        listing.bad(Place(name, line), "the line is no UTF-8 text")
        return ""


def why_untrusted(path: Path) -> str:
    """Why a file that nobody named on the command line is not read; "" = it may be."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return "it belongs to another user: it could send you to any machine, so it is not read"
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write to it — mend it with: chmod o-w {shlex.quote(str(path))}"
    return ""
