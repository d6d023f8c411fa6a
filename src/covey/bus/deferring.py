"""Defers what nats-py imports and covey does not use until somebody does.

JetStream's forty dataclasses are a third of what `import nats` costs, in every process of covey.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

#: Executed on the first look at one of its attributes.
DEFERRED = "nats.js"


class _Deferring:
    """On sys.meta_path: finds one module, and has it executed later."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name != DEFERRED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def defer() -> None:
    """From now on, in this process."""
    if DEFERRED not in sys.modules and _Deferring not in sys.meta_path:
        sys.meta_path.insert(0, _Deferring)
