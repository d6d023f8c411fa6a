"""covey: the machines you can ssh into, as one computer."""

from typing import TYPE_CHECKING, Any

from covey import _version, errors

if TYPE_CHECKING:
    from covey import aio
    from covey.client.executor import Executor
    from covey.cluster import Cluster

__version__ = _version.VERSION
__all__ = ["Cluster", "Executor", "__version__", "aio", "errors"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: `covey --help` must not pay for an event loop."""
    if name == "Executor":
        from covey.client.executor import Executor

        return Executor
    if name == "Cluster":
        from covey.cluster import Cluster

        return Cluster
    if name == "aio":
        import importlib

        return importlib.import_module("covey.aio")
    raise AttributeError(f"module 'covey' has no attribute {name!r}")
