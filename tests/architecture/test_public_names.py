"""The public interface is what `covey.__all__` lists, and each name of it can be had."""

import subprocess
import sys
from types import ModuleType

import covey
from covey.testing.waiting import COMMAND_MAX_S

#: Loaded on first use, so a type checker sees only the stub of the list.
PUBLIC_NAMES: list[str] = list(vars(covey).get("__all__", []))


def test_all_names_the_public_interface_and_nothing_more():
    names = PUBLIC_NAMES
    assert names
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    ours = {
        name
        for name, member in vars(covey).items()
        if not name.startswith("_") and not isinstance(member, ModuleType)
    }
    assert ours - {"TYPE_CHECKING", "Any"} <= set(names)
    for name in names:
        assert getattr(covey, name) is not None


def test_public_names_have_docstrings():
    for name in PUBLIC_NAMES:
        member = getattr(covey, name)
        if callable(member):
            assert (member.__doc__ or "").strip(), name


def test_importing_covey_loads_neither_asyncio_nor_nats():
    """A script that imports covey and uses it later must not pay for it now."""
    heavy = {"asyncio", "nats", "rich", "sqlite3"}
    script = f"import sys, covey; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_MAX_S,
    )
    assert done.stdout.strip() == "[]"
