"""The archive that is sent to machines: covey and its pure-Python packages, as one zip file.

Python runs it as it is (`python3 covey-0123456789ab.pyz`): see `_MAIN`. Equal sources and an equal
Python give equal bytes; the name holds their digest, so what a machine has is not sent again. Each
module is in it as source, which any Python takes, and compiled for the minor version that made it,
which saves machines of that version some 0.3 s of every start.
"""

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from covey._version import VERSION
from covey.bus.record import write_private
from covey.errors import BootstrapFailed

#: What an agent, a head and the command line need, and nothing that must be compiled.
PACKAGES = ("covey", "nats", "msgpack", "click", "cloudpickle")
#: Not needed on machines.
LEFT_OUT = ("covey/testing/",)
#: Archives of earlier versions that are kept for `up --rollback`.
KEPT = 3
#: Hex digits of the digest in the name.
NAME_DIGITS = 12
#: What the name of an archive looks like, here and on machines.
NAME_PATTERN = re.compile(rf"covey-([0-9a-f]{{{NAME_DIGITS}}})\.pyz\Z")

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
        from covey.cli.entry import main as run
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
        return archive_name(self.digest)

    def read(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()


def archive_name(digest: str) -> str:
    """The file name of an archive with this sha256."""
    return f"covey-{digest[:NAME_DIGITS]}.pyz"


def default_cache() -> Path:
    """Where archives are kept on this computer: $XDG_CACHE_HOME/covey, else ~/.cache/covey."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "covey" / "archives"


def current(cache: Path | None = None) -> Archive:
    """The archive of the covey that is running: built if the cache does not hold it.

    Raises:
        BootstrapFailed: a package cannot be found, or the cache not be written.
    """
    if (running := _running()) is not None:
        return running
    with _building:
        return _current(default_cache() if cache is None else cache)


def every(cache: Path | None = None) -> list[Archive]:
    """What the cache holds, newest first (for `up --rollback`)."""
    cache = default_cache() if cache is None else cache
    return [_opened(path) for path in _held(cache)]


# ---------------------------------------------------------------- inside


def _current(cache: Path) -> Archive:
    found = list(_sources())
    mark = _fingerprint(found)
    if (known := _known(cache, mark)) is not None:
        return known
    data = _zipped(found)
    digest = hashlib.sha256(data).hexdigest()
    path = cache / archive_name(digest)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = cache / f".{path.name}.{secrets.token_hex(4)}"
        new.write_bytes(data)
        new.replace(path)
        write_private(cache / _INDEX, json.dumps([mark, digest]))
    except OSError as error:
        raise BootstrapFailed(
            f"the archive for machines cannot be written to {cache}: {error.strerror}",
            step="archive",
        ) from error
    _forget_old(cache, path)
    return Archive(path, digest, len(data))


def _running() -> Archive | None:
    """The archive that we run from, where we do: a head that was put onto its machine."""
    path = Path(__file__).parents[2]
    return _opened(path) if path.is_file() else None


def _sources() -> Iterator[tuple[str, Path]]:
    """(name in the archive, file), sorted."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise BootstrapFailed(f"package {package} is not installed here", step="archive")
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            name = f"{package}/{path.relative_to(root).as_posix()}"
            if not name.startswith(LEFT_OUT):
                yield name, path


def _fingerprint(found: list[tuple[str, Path]]) -> str:
    """What changes when any of the files does."""
    lines = [f"{VERSION} {sys.version} {_MAIN!r}"]
    for name, path in found:
        stat = path.stat()
        lines.append(f"{name} {path} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _known(cache: Path, mark: str) -> Archive | None:
    with contextlib.suppress(OSError, ValueError):
        noted, digest = json.loads((cache / _INDEX).read_text())
        if noted == mark:
            found = _opened(cache / archive_name(digest))
            return found if found.digest == digest else None
    return None


def _opened(path: Path) -> Archive:
    data = path.read_bytes()
    return Archive(path, hashlib.sha256(data).hexdigest(), len(data))


def _held(cache: Path) -> list[Path]:
    paths = [path for path in cache.glob("covey-*.pyz") if NAME_PATTERN.match(path.name)]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _forget_old(cache: Path, newest: Path) -> None:
    os.utime(newest)
    for path in _held(cache)[KEPT + 1 :]:
        path.unlink(missing_ok=True)


def _zipped(found: list[tuple[str, Path]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        _add(file, "__main__.py", _MAIN)
        for name, path in found:
            source = path.read_bytes()
            _add(file, name, source)
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
