"""covey: the machines you can ssh into, as one computer."""

from covey import _version

# As typing.TYPE_CHECKING, which would cost the import of typing: a tenth of the time of `covey -V`,
# in which nothing could answer a Ctrl-C yet (cli/entry.py).
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from covey import aio, errors
    from covey.client.executor import Executor
    from covey.cluster import Cluster

__version__ = _version.VERSION
__all__ = ["Cluster", "Executor", "__version__", "aio", "errors"]


def __getattr__(name: str) -> "Any":
    """Import the public names on first use: `covey --help` must not pay for an event loop."""
    if name == "Executor":
        from covey.client.executor import Executor

        return Executor
    if name == "Cluster":
        from covey.cluster import Cluster

        return Cluster
    if name in ("aio", "errors"):
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'covey' has no attribute {name!r}")
