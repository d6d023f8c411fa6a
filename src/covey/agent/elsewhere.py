"""What a task finds on a machine that is not its caller's.

Not the caller's directory and environment, but a directory there and what was given for other
machines. Modules of the caller's program are there as sources: they run on any Python. Code that
travels by value (closures, functions of `__main__`) is bytecode of one minor version, and refused
on another before it is loaded, since loading it may crash the interpreter.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from covey.errors import Unpicklable
from covey.model.context import CallContext, CommandContext, Context

#: What stands in the pickle of code: cloudpickle's makers of functions, and code itself.
_CODE_MARKS = (b"_make_function", b"CodeType", b"_make_skel_func")
_SHELL = "/bin/sh"

Modules = dict[str, tuple[bool, bytes]]


def this_python() -> str:
    """`3.11`: what decides whether code by value can run."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def as_here(context: Context, here: str, workdir: str) -> Context:
    """The context as it holds where we are.

    here: the computer whose callers' directories are found ("" = nobody's). workdir: the agent's.
    """
    is_at_home = context.at in ("", here)
    if isinstance(context, CommandContext):
        return context if is_at_home else _moved_command(context, workdir)
    if is_at_home:
        return replace(context, modules={})
    return replace(context, cwd=workdir, env={}, sys_path=[])


def _moved_command(context: CommandContext, workdir: str) -> CommandContext:
    shell = context.shell if os.access(context.shell, os.X_OK) else _SHELL
    cwd = os.path.join(workdir, context.cwd_elsewhere) if context.cwd_elsewhere else ""
    env = dict(os.environ) | context.env_elsewhere
    return replace(context, shell=shell, env=env, cwd=os.path.expanduser(cwd))


def check_python(context: CallContext, pickled: bytes | memoryview, what: str) -> None:
    """Refuse code of another Python.

    Raises:
        Unpicklable: it is; with what to do.
    """
    if context.python in ("", this_python()):
        return
    if holds_code(bytes(pickled)):
        machine = os.environ.get("COVEY_MACHINE", "this machine")
        raise Unpicklable(
            f"{what} travels as bytecode of Python {context.python}, but {machine} runs"
            f" {this_python()}. Put it in a module beside your script, or give {machine} a Python"
            f" {context.python} (python = in covey.toml)",
            what=what,
        )


def holds_code(pickled: bytes) -> bool:
    """Whether there is code by value in a pickle."""
    return any(mark in pickled for mark in _CODE_MARKS)


class ProgramModules(MetaPathFinder, Loader):
    """Imports the modules of the caller's program from the sources that came with its context."""

    def __init__(self) -> None:
        self._modules: Modules = {}

    def replace(self, modules: Modules) -> None:
        """From now on these; what was imported from another source is imported anew."""
        for name, found in modules.items():
            if name in self._modules and self._modules[name] != found:
                sys.modules.pop(name, None)
        self._modules = modules
        if modules and self not in sys.meta_path:
            # Behind the machine's own: an installed package is not replaced by a file of its name.
            sys.meta_path.append(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        found = self._modules.get(fullname)
        if found is None:
            return None
        return spec_from_loader(fullname, self, origin=_origin(fullname), is_package=found[0])

    def exec_module(self, module: ModuleType) -> None:
        """See `Loader`."""
        _, source = self._modules[module.__name__]
        run: Callable[..., None] = exec
        run(compile(source, _origin(module.__name__), "exec"), module.__dict__)

    def get_source(self, fullname: str) -> str:
        """For tracebacks."""
        return self._modules[fullname][1].decode(errors="replace")


def _origin(name: str) -> str:
    # No file there; between < and > a traceback would not show its lines.
    return f"program:{name.replace('.', '/')}.py"
