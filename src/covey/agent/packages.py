"""The user's packages on a machine: an environment of their own, made once per list.

`packages = ["numpy==2.1"]` of the inventory; the agent and its tasks run in it. What the machine
has installed stays visible.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from covey.errors import BootstrapFailed

#: Making an environment, and what pip does with one list.
MAKE_MAX_S = 120.0
INSTALL_MAX_S = 1700.0
#: Longest line of pip's that is shown.
_LINE_MAX = 300

_PREFIX = "packages-"
#: In an environment that is whole.
_WHOLE = "covey-whole"


def python_with(packages: tuple[str, ...], directory: Path) -> str:
    """The Python in which these are installed; makes it if need be, and removes others.

    directory: of the agent.

    Raises:
        BootstrapFailed: it cannot be made, or pip failed; with its reason.
    """
    wanted = directory / f"{_PREFIX}{_digest(packages)}"
    for old in directory.glob(f"{_PREFIX}*"):
        if old != wanted or not packages:
            shutil.rmtree(old, ignore_errors=True)
    if not packages:
        return sys.executable
    python = str(wanted / "bin" / "python")
    if not (wanted / _WHOLE).exists():
        shutil.rmtree(wanted, ignore_errors=True)
        make = [sys.executable, "-m", "venv", "--system-site-packages", str(wanted)]
        _do(make, MAKE_MAX_S, "the environment for its packages cannot be made", directory)
        install = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        install += ["--quiet", "--no-cache-dir", *packages]
        what = f"pip cannot install {' '.join(packages)}"
        _do(install, INSTALL_MAX_S, what, directory)
        (wanted / _WHOLE).touch()
    return python


def last_line(output: bytes) -> str:
    """The last line that says something, of an error if there is one."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    # pip's last error only counts up what the first explains.
    chosen = errors[0].removeprefix("ERROR:").strip() if errors else lines[-1] if lines else ""
    return chosen[:_LINE_MAX]


def _digest(packages: tuple[str, ...]) -> str:
    """Another list, or another Python, is another environment."""
    text = "\n".join([sys.version, sys.executable, *packages])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _do(argv: list[str], timeout_s: float, what: str, directory: Path) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            cwd=directory,
            env={**os.environ, "PYTHONNOUSERSITE": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BootstrapFailed(f"{what}: not done after {timeout_s:g} s") from None
    if done.returncode == 0:
        return
    reason = last_line(done.stdout)
    remedy = "install them there by hand, or change packages = in covey.toml"
    if b"ensurepip is not" in done.stdout:
        reason = "its python has no venv"
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        remedy = f"on Debian and Ubuntu, as root: apt install python{version}-venv"
    raise BootstrapFailed(f"{what}: {reason}", remedy=remedy)
