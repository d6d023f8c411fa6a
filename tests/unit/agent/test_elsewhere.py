"""What a task of another computer finds here: `agent/elsewhere.py`, `client/sources.py`."""

import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Generator
from pathlib import Path

import cloudpickle
import pytest

from covey.agent.elsewhere import ProgramModules, as_here, check_python, this_python
from covey.agent.here import this_computer
from covey.client.sources import program_modules
from covey.errors import Unpicklable
from covey.model.context import CallContext, CommandContext

COMMAND = CommandContext(
    template=[],
    shell="/bin/there-is-no-such-shell",
    env={"PATH": "/caller", "SECRET": "mine"},
    cwd="/caller/dir",
    at="laptop",
    env_elsewhere={"GIVEN": "1"},
    cwd_elsewhere="sub",
)
CALL = CallContext(
    b"f",
    sys_path=["/caller"],
    cwd="/caller",
    at="laptop",
    python="3.0",
    modules={"m": (False, b"")},
)


@pytest.mark.parametrize("at", ["laptop", ""])
def test_at_home_a_command_keeps_its_callers_directory_and_environment(at: str):
    context = CommandContext([], env={"A": "1"}, cwd="/caller", at=at)
    assert as_here(context, "laptop", "/work") is context


def test_elsewhere_a_command_gets_the_machines_environment_and_what_was_given():
    moved = as_here(COMMAND, "", "/machine")
    assert isinstance(moved, CommandContext)
    assert moved.env == dict(os.environ) | {"GIVEN": "1"}
    assert "SECRET" not in moved.env
    assert moved.cwd == "/machine/sub"
    assert moved.shell == "/bin/sh", "the caller's shell need not exist there"


def test_elsewhere_without_a_directory_each_task_gets_its_own():
    context = CommandContext([], cwd="/caller", at="laptop")
    moved = as_here(context, "another", "/machine")
    assert moved.cwd == ""


def test_elsewhere_a_call_uses_none_of_its_callers_paths():
    moved = as_here(CALL, "another", "/machine")
    assert isinstance(moved, CallContext)
    assert (moved.cwd, moved.sys_path, moved.env) == ("/machine", [], {})
    assert moved.modules == CALL.modules


def test_at_home_a_call_imports_its_modules_where_they_lie():
    found = as_here(CALL, "laptop", "/machine")
    assert isinstance(found, CallContext)
    assert (found.modules, found.sys_path) == ({}, ["/caller"])


def test_this_computer_is_the_same_word_in_each_process_of_ours():
    assert this_computer() == this_computer()
    assert str(os.getuid()) in this_computer()


class TestCodeOfAnotherPython:
    def test_a_closure_is_refused_before_it_is_loaded(self):
        number = 5

        def add(x: int) -> int:
            return x + number

        pickled: bytes = cloudpickle.dumps(add)  # pyright: ignore
        with pytest.raises(Unpicklable, match=r"Python 3\.0.*beside your script"):
            check_python(CALL, pickled, "the function")

    def test_what_is_found_by_name_passes(self):
        check_python(CALL, pickle.dumps((os.path.join, "a", 1.5)), "an argument")

    def test_the_same_python_takes_everything(self):
        same = CallContext(b"", python=this_python())
        check_python(same, cloudpickle.dumps(lambda: 0), "the function")  # pyright: ignore


@pytest.fixture
def finder() -> Generator[ProgramModules]:
    finder = ProgramModules()
    before = set(sys.modules)
    yield finder
    if finder in sys.meta_path:
        sys.meta_path.remove(finder)
    for name in set(sys.modules) - before:
        del sys.modules[name]


class TestProgramModules:
    def test_a_package_and_its_modules_are_imported_from_their_sources(
        self, finder: ProgramModules
    ):
        finder.replace(
            {
                "prog_pkg": (True, b"from prog_pkg.part import value\n"),
                "prog_pkg.part": (False, b"value = 7\n"),
            }
        )
        assert importlib.import_module("prog_pkg").value == 7

    def test_another_source_is_imported_anew(self, finder: ProgramModules):
        finder.replace({"prog_mod": (False, b"value = 1\n")})
        assert importlib.import_module("prog_mod").value == 1
        finder.replace({"prog_mod": (False, b"value = 2\n")})
        assert importlib.import_module("prog_mod").value == 2

    def test_what_is_installed_wins(self, finder: ProgramModules):
        finder.replace({"json": (False, b"raise SystemExit")})
        sys.modules.pop("json.tool", None)
        assert importlib.import_module("json").dumps([1]) == "[1]"

    def test_a_traceback_shows_the_line(self, finder: ProgramModules):
        finder.replace({"prog_bad": (False, b"def f():\n    return 1 / 0\n")})
        with pytest.raises(ZeroDivisionError) as caught:
            importlib.import_module("prog_bad").f()
        assert "return 1 / 0" in "".join(traceback.format_exception(caught.value))


def test_only_modules_of_the_program_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "prog_own.py").write_bytes(b"value = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    try:
        importlib.import_module("prog_own")
        found = program_modules()
    finally:
        sys.modules.pop("prog_own", None)
    assert found["prog_own"] == (False, b"value = 1\n")
    assert not {"json", "covey", "covey.errors", "pytest", "msgpack"} & set(found)
