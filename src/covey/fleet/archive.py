"""The archives that are sent to machines: covey and its pure-Python packages, as one zip file.

Python runs one as it is (`python3 covey-0123456789ab.pyz`): see `_MAIN`. Equal sources and an equal
Python give equal bytes; the name holds their digest, so what a machine has is not sent again. There
are two kinds:

    agent    what machines get: all that an agent, and a program that imports covey, may ask for
    head     what `covey --head` puts onto its machine: the command line too

Modules are in it as source, which any Python takes. What a start imports is also there compiled,
for the minor version that made it, which saves machines of that version some 0.3 s each time. A
megabyte is the less to send the more is left out: beyond that, sshd's buffers cost more than ours.
"""

import ast
import contextlib
import hashlib
import importlib.util
import io
import json
import marshal
import os
import re
import secrets
import sys
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from covey._version import VERSION
from covey.bus.deferring import DEFERRED
from covey.bus.record import write_private
from covey.errors import BootstrapFailed

#: See above.
Kind = Literal["agent", "head"]

#: What an agent, a head and the command line need, and nothing that must be compiled.
PACKAGES = ("covey", "nats", "msgpack", "click", "cloudpickle")
#: Not needed on machines.
LEFT_OUT: Mapping[Kind, tuple[str, ...]] = {
    "agent": ("covey/testing/", "covey/cli/", "covey/sim/", "click/"),
    "head": ("covey/testing/",),
}
#: Archives of earlier versions that are kept for `up --rollback`.
KEPT = 3
#: Hex digits of the digest in the name.
NAME_DIGITS = 12
#: What the names of archives begin with, here and on machines.
_PREFIX: Mapping[Kind, str] = {"agent": "covey-", "head": "covey-head-"}
#: Where the programs of an agent archive begin.
_STARTS = ("covey.agent.__main__", "covey.agent.remote")
#: Imported where they are asked for, which on machines is hardly ever.
_NOT_FOLLOWED = frozenset({"covey", DEFERRED})

#: Zip knows no earlier date.
_DATE = (1980, 1, 1, 0, 0, 0)
_INDEX = "archive.json"
_MODE = 0o100644 << 16
#: Threads of one `up` or `down` build it once.
_building = threading.Lock()

#: The first that runs: on a Python that is too old it must still say so.
_MAIN = b'''"""Runs one of the programs in this archive; without a mark, the command line."""
import sys

if sys.version_info < (3, 11):
    sys.exit("covey: python %d.%d is too old (3.11 needed)" % sys.version_info[:2])


def main():
    mark = sys.argv[1] if len(sys.argv) > 1 else ""
    if mark == "--agent":
        del sys.argv[1]
        from covey.agent.__main__ import main as run
    elif mark == "--head":
        del sys.argv[1]
        from covey.head.__main__ import main as run
    elif mark == "--on-machine":
        del sys.argv[1]
        from covey.agent.remote import main as run
    else:
        try:
            from covey.cli.entry import main as run
        except ModuleNotFoundError as error:
            if error.name != "covey.cli":
                raise
            sys.exit("covey: agents run from this archive; the command line is not in it")
    return run()


if __name__ == "__main__":
    sys.exit(main())
'''


@dataclass(frozen=True, slots=True)
class Archive:
    """A built archive in the local cache."""

    path: Path
    #: sha256 of its bytes, in hex.
    digest: str
    size_bytes: int

    @property
    def name(self) -> str:
        """Its file name, here and on machines."""
        return self.path.name

    def read(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def archive_name(digest: str, kind: Kind = "agent") -> str:
    """The file name of an archive with this sha256."""
    return f"{_PREFIX[kind]}{digest[:NAME_DIGITS]}.pyz"


def default_cache() -> Path:
    """Where archives are kept on this computer: $XDG_CACHE_HOME/covey, else ~/.cache/covey."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "covey" / "archives"


def current(cache: Path | None = None, kind: Kind = "agent") -> Archive:
    """The archive of the covey that is running: built if the cache does not hold it.

    Raises:
        BootstrapFailed: a package cannot be found, or the cache not be written.
    """
    with _building:
        return _current(default_cache() if cache is None else cache, kind)


def every(cache: Path | None = None) -> list[Archive]:
    """What of the kind that machines get the cache holds, newest first (for `up --rollback`)."""
    cache = default_cache() if cache is None else cache
    return [_opened(path) for path in _held(cache, "agent")]


# ---------------------------------------------------------------- inside


@dataclass(frozen=True, slots=True)
class _Sources:
    """The modules of this covey."""

    #: Name in an archive -> where it is read.
    files: Mapping[str, Path | zipfile.Path]
    #: Changes when any of them does.
    mark: str


def _current(cache: Path, kind: Kind) -> Archive:
    found = _sources(kind)
    if (known := _known(cache, kind, found.mark)) is not None:
        return known
    data = _zipped(found.files, kind)
    digest = hashlib.sha256(data).hexdigest()
    path = cache / archive_name(digest, kind)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = cache / f".{path.name}.{secrets.token_hex(4)}"
        new.write_bytes(data)
        new.replace(path)
        noted = json.dumps(_noted(cache) | {kind: [found.mark, digest]})
        write_private(cache / _INDEX, noted)
    except OSError as error:
        raise BootstrapFailed(
            f"the archive for machines cannot be written to {cache}: {error.strerror}",
            step="archive",
        ) from error
    _forget_old(cache, kind, path)
    return Archive(path, digest, len(data))


def _sources(kind: Kind) -> _Sources:
    """What goes into an archive, sorted by name."""
    ours = Path(__file__).parents[2]
    # A head that was put onto its machine runs from an archive itself.
    listed = list(_in_archive(ours) if ours.is_file() else _installed())
    kept = [one for one in listed if not one[0].startswith(LEFT_OUT[kind])]
    lines = [f"{VERSION} {sys.version} {_MAIN!r}", *(f"{name} {mark}" for name, _, mark in kept)]
    mark = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return _Sources({name: path for name, path, _ in sorted(kept, key=lambda one: one[0])}, mark)


def _installed() -> Iterator[tuple[str, Path, str]]:
    """(name in the archive, file, what changes when it does)."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise BootstrapFailed(f"package {package} is not installed here", step="archive")
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            stat = path.stat()
            name = f"{package}/{path.relative_to(root).as_posix()}"
            yield name, path, f"{path} {stat.st_size} {stat.st_mtime_ns}"


def _in_archive(archive: Path) -> Iterator[tuple[str, zipfile.Path, str]]:
    file = zipfile.ZipFile(archive)
    for one in file.infolist():
        if one.filename.endswith(".py") and one.filename != "__main__.py":
            yield one.filename, zipfile.Path(file, one.filename), f"{archive} {one.CRC}"


def _known(cache: Path, kind: Kind, mark: str) -> Archive | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        noted, digest = _noted(cache)[kind]
        if noted == mark:
            found = _opened(cache / archive_name(digest, kind))
            return found if found.digest == digest else None
    return None


def _noted(cache: Path) -> dict[str, list[str]]:
    """Kind -> mark of the sources and digest of the archive that was built last."""
    with contextlib.suppress(OSError, ValueError):
        noted: object = json.loads((cache / _INDEX).read_text())
        return noted if isinstance(noted, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    return {}


def _opened(path: Path) -> Archive:
    data = path.read_bytes()
    return Archive(path, hashlib.sha256(data).hexdigest(), len(data))


def _held(cache: Path, kind: Kind) -> list[Path]:
    pattern = re.compile(rf"{_PREFIX[kind]}[0-9a-f]{{{NAME_DIGITS}}}\.pyz\Z")
    paths = [path for path in cache.glob("covey-*.pyz") if pattern.match(path.name)]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _forget_old(cache: Path, kind: Kind, newest: Path) -> None:
    os.utime(newest)
    for path in _held(cache, kind)[KEPT + 1 :]:
        path.unlink(missing_ok=True)


def _zipped(files: Mapping[str, Path | zipfile.Path], kind: Kind) -> bytes:
    sources = {name: path.read_bytes() for name, path in files.items()}
    compiled = sources.keys() if kind == "head" else _imported(sources, _STARTS)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        _add(file, "__main__.py", _MAIN)
        for name, source in sources.items():
            _add(file, name, source)
            if name in compiled:
                _add(file, f"{name}c", _compiled(source, name))
    return buffer.getvalue()


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = _MODE
    file.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=6)


def _compiled(source: bytes, name: str) -> bytes:
    """A .pyc that is taken unchecked (PEP 552) by the Python that wrote it, and by no other."""
    code = compile(source, f"covey.pyz/{name}", "exec", dont_inherit=True, optimize=0)
    # Version 2 writes no references: those depend on what else the interpreter holds at this time.
    flags = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + bytes(8) + marshal.dumps(code, 2)


def _imported(sources: Mapping[str, bytes], starts: Iterable[str]) -> set[str]:
    """The files that some modules import, directly or not."""
    files = {_module(name): name for name in sources}
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module in reached or module not in files:
            continue
        reached.add(module)
        waiting.append(module.rpartition(".")[0])
        if module not in _NOT_FOLLOWED:
            name = files[module]
            package = module if name.endswith("__init__.py") else module.rpartition(".")[0]
            waiting += _imports(ast.parse(sources[name]), package)
    return {files[module] for module in reached}


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The names that may be modules; those in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{one.name}" for one in node.names)
