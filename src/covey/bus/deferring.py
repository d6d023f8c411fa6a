"""Defers what nats-py imports and covey does not use until somebody does.

JetStream's forty dataclasses are a third of what `import nats` costs, in every process of covey.
Its client looks up its own version at import, by `importlib.metadata`, which imports the email
package and searches sys.path; it is content not to find it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

#: Executed on the first look at one of its attributes.
DEFERRED = "nats.js"
#: Looks for its version.
_VERSIONED = "nats.aio.client"
_METADATA = "importlib.metadata"


class _Versionless(Loader):
    """Loads a module that finds no `importlib.metadata`, unless that is imported already."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        # Whoever asks for it again has the loader that it came with.
        module.__loader__ = self._loader
        if _METADATA in sys.modules:
            self._loader.exec_module(module)
            return
        sys.modules[_METADATA] = None  # pyright: ignore[reportArgumentType]
        try:
            self._loader.exec_module(module)
        finally:
            del sys.modules[_METADATA]


class _Deferring:
    """On sys.meta_path: finds those modules, and has them executed so."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name not in (DEFERRED, _VERSIONED):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            kind = LazyLoader if name == DEFERRED else _Versionless
            spec.loader = kind(spec.loader)
        return spec


def defer() -> None:
    """From now on, in this process."""
    if DEFERRED not in sys.modules and _Deferring not in sys.meta_path:
        sys.meta_path.insert(0, _Deferring)
