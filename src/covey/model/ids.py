"""Names of things: each id is a type of its own and safe as one token of a bus subject."""

import re

from covey.settings import NAME_PATTERN


def is_token(text: str) -> bool:
    """Whether `text` may stand as one token of a subject."""
    return NAME_PATTERN.match(text) is not None


def slug(text: str) -> str:
    """A token made of `text`: other characters become `-`; never empty, at most 64 long."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:64] or "machine"
