"""How the functions that are submitted travel: by name or value, once or with each call.

A function is pickled once and known by its digest from then on, as long as everything that it
refers to is still the very same and cannot change: then another pickle would be the same bytes.
Else it is pickled anew with each call. Functions that differ each time (closures made in a loop)
travel as an argument, so that an agent need not keep each of them.
"""

import hashlib
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from covey.client.calls import context_of

#: Functions that are remembered.
KEPT_MAX = 1024
#: From so many different pickles of the same code on, it travels as an argument.
VARIANTS_MAX = 8
#: A function that calls more others than this is pickled anew each time.
_LOOKED_AT_MAX = 16

_ATOMS = (int, float, complex, str, bytes, bool, type(None))
_MISSING = object()

Function = Callable[..., Any]
#: Where something was found, and what: (namespace or cell, its name there, the value).
Seen = tuple[dict[str, Any] | CellType, str, Any]


@dataclass(slots=True)
class _Kept:
    #: Kept as well: its id must not be given to another.
    function: Function
    code: CodeType | None
    defaults: object
    digest: str
    seen: list[Seen]

    def still_holds(self) -> bool:
        function = self.function
        if self.code is not None and (
            cast(FunctionType, function).__code__ is not self.code
            or cast(FunctionType, function).__defaults__ is not self.defaults
        ):
            return False
        for where, name, value in self.seen:
            if isinstance(where, dict):
                if where.get(name, _MISSING) is not value:
                    return False
            elif where.cell_contents is not value:
                return False
        return True


class Functions:
    """The functions of one engine. From any thread."""

    def __init__(self, contexts: dict[str, bytes], *, travels: bool = False) -> None:
        """contexts: digest -> bytes, where what is noted is put. travels: see `context_of`."""
        self._contexts = contexts
        self._travels = travels
        self._kept: dict[int, _Kept] = {}
        #: Digests by what the functions have in common.
        self._variants: dict[object, set[str]] = {}
        self._path: list[str] = []

    def place(self, function: Function) -> tuple[str, bool]:
        """The digest of the context of its calls, and whether it travels as their first argument.

        Raises:
            Unpicklable: the function cannot be sent.
        """
        if sys.path != self._path:
            # What is sent along changed: modules of new arguments may be found nowhere else.
            self._path = list(sys.path)
            self._kept.clear()
        kept = self._kept.get(id(function))
        if kept is not None and kept.function is function and kept.still_holds():
            return kept.digest, False
        context = context_of(function, travels=self._travels)
        digest = hashlib.sha256(context).hexdigest()
        if not self._is_welcome(function, digest):
            return self.place(operator.call)[0], True
        self._contexts[digest] = context
        self._keep(function, digest)
        return digest, False

    def _is_welcome(self, function: Function, digest: str) -> bool:
        if function is operator.call:
            return True
        key = _key(function)
        variants = self._variants.get(key)
        if variants is None:
            if len(self._variants) >= KEPT_MAX:
                return False
            variants = self._variants[key] = set()
        if len(variants) < VARIANTS_MAX:
            variants.add(digest)
        return digest in variants

    def _keep(self, function: Function, digest: str) -> None:
        seen: list[Seen] = []
        if not _is_settled(function, seen, {id(seen)}):
            return
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        code = defaults = None
        if isinstance(function, FunctionType):
            code, defaults = function.__code__, function.__defaults__
        self._kept[id(function)] = _Kept(function, code, defaults, digest, seen)


def _key(function: Function) -> object:
    if isinstance(function, FunctionType):
        return function.__code__
    if isinstance(function, MethodType):
        return _key(function.__func__)
    if isinstance(function, partial):
        return _key(function.func)
    return type(function)


def _is_settled(value: object, seen: list[Seen], looked_at: set[int]) -> bool:
    """Whether a value cannot change. Adds to `seen` what it refers to by name."""
    if isinstance(value, _ATOMS):
        return True
    if isinstance(value, tuple | frozenset):
        items = cast("tuple[object, ...]", value)
        return all(_is_settled(item, seen, looked_at) for item in items)
    if isinstance(value, ModuleType):
        return sys.modules.get(value.__name__) is value
    if isinstance(value, BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, ModuleType)
    if isinstance(value, type):
        return _has_own_module(value)
    if not isinstance(value, FunctionType):
        return False
    if _has_own_module(value) or id(value) in looked_at:
        return True
    looked_at.add(id(value))
    return len(looked_at) <= _LOOKED_AT_MAX and _is_settled_function(value, seen, looked_at)


def _is_settled_function(function: FunctionType, seen: list[Seen], looked_at: set[int]) -> bool:
    if function.__dict__ or function.__kwdefaults__:
        return False
    if not _is_settled(function.__defaults__, seen, looked_at):
        return False
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            return False
        seen.append((cell, "", value))
        if not _is_settled(value, seen, looked_at):
            return False
    space = function.__globals__
    for name in _names(function.__code__):
        value = space.get(name, _MISSING)
        seen.append((space, name, value))
        if value is not _MISSING and not _is_settled(value, seen, looked_at):
            return False
    return True


def _names(code: CodeType) -> list[str]:
    """Names that the code may look up among the globals; names of attributes are among them."""
    names = list(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names += _names(const)
    return names


def _has_own_module(thing: FunctionType | type) -> bool:
    """Whether it is found by name, and travels by name."""
    return thing.__module__ != "__main__" and "<" not in thing.__qualname__
