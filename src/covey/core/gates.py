"""The gates of a shape: what must be free on a machine before another of its tasks starts there."""

from covey.model.job import Shape


def shut(terms: Shape, load1: float | None, memfree_bytes: int | None) -> str:
    """Why nothing of the shape starts on a machine with these gauges; "" = it may.

    A gauge that is not known shuts nothing. The text holds no gauge: it stays the same while it
    is true, so that it is told once.
    """
    if terms.load_max and load1 is not None and load1 > terms.load_max:
        return f"nothing starts while the load is over {terms.load_max:g} (--load)"
    if terms.memfree_bytes and memfree_bytes is not None and memfree_bytes < terms.memfree_bytes:
        least = _size(terms.memfree_bytes)
        return f"nothing starts while less than {least} of memory is free (--memfree)"
    return ""


def _size(size_bytes: float) -> str:
    """In powers of 1024, as `--memfree 2G` says it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.4g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.4g} TiB"
