"""The invariants of ARCHITECTURE.md that can be read off the source; each test carries its number.

The others are tests of behaviour and live where their subject is tested. One test here insists that
each number has a test somewhere.
"""

import ast
import re
from pathlib import Path

import pytest
from tests.architecture.tree import (
    ROOT,
    SOURCE,
    calls,
    dotted,
    imported_modules,
    python_files,
    shown,
    syntax_tree,
)

PURE_ROWS = ("model", "wire", "core", "sim")
#: What a pure module may not import: I/O, clocks, threads, sources of randomness.
IMPURE = frozenset(
    {
        *(
            "asyncio",
            "concurrent",
            "fcntl",
            "ftplib",
            "http",
            "io",
            "mmap",
            "multiprocessing",
            "nats",
            "os",
        ),
        *(
            "pathlib",
            "secrets",
            "select",
            "selectors",
            "shutil",
            "signal",
            "socket",
            "sqlite3",
            "ssl",
        ),
        *(
            "subprocess",
            "sys",
            "tempfile",
            "threading",
            "time",
            "datetime",
            "urllib",
            "uuid",
            "logging",
        ),
    }
)
#: Modules that may start processes, and what for.
MAY_START_PROCESSES = {
    "bus/server.py": "nats-server",
    "bus/authority.py": "openssl",
    "fleet/ssh.py": "ssh",
    "agent/slots.py": "asks the zygote",
    "agent/forker.py": "a zygote, in place of a dead one",
    "agent/zygote.py": "slot children",
    "agent/child.py": "slot children",
    "agent/runner.py": "commands",
    "agent/spawning.py": "commands, for the runner",
    "agent/detached.py": "the agent of a machine over ssh",
    "agent/packages.py": "venv and pip, for the packages of a machine",
    "agent/persist.py": "systemctl and crontab",
    "head/processes.py": "heads, and the agents of virtual machines",
    "client/private.py": "the root of a private run",
    "client/joining.py": "the keeper of this machine's place in a cluster",
    "client/keeper.py": "what brings an agent onto this machine, as ssh does onto others",
    "cli/sim/run.py": "points of a simulation",
    "client/direct.py": "commands of covey exec on virtual machines",
}
STARTS_A_PROCESS = re.compile(
    r"^(?:subprocess\.\w+|os\.(?:fork|forkpty|posix_spawnp?|system|popen|exec\w+|spawn\w+)"
    r"|asyncio\.create_subprocess_\w+|multiprocessing\.\w+|pty\.\w+)$"
)
PICKLES = frozenset({"pickle", "cloudpickle", "marshal", "shelve", "dill", "_pickle"})
#: Rows and modules that may unpickle: the client that asked, and child processes.
MAY_PICKLE = (
    *("client/", "agent/child.py", "agent/calls.py", "testing/", "aio", "joblib"),
    # Writes compiled modules, and reads none.
    "fleet/archive.py",
)
#: Numbers whose subject does not exist yet, and which part brings it.
WAITING: dict[int, str] = {}


def _row(path_name: str) -> str:
    return path_name.removeprefix("src/covey/")


def _pure_files() -> list[Path]:
    return [p for row in PURE_ROWS for p in python_files(SOURCE / row)]


@pytest.mark.parametrize("path", _pure_files(), ids=shown)
def test_invariant_01_decisions_do_no_io_and_read_no_clock(path: Path):
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert roots & IMPURE == set()
    forbidden = {"open", "print", "input", "exec", "eval", "breakpoint"}
    assert [f"{name} in line {line}" for name, line in calls(path) if name in forbidden] == []


@pytest.mark.parametrize("path", _pure_files(), ids=shown)
def test_invariant_01_decisions_use_no_global_random_generator(path: Path):
    """A generator is given at construction: `random.Random` may be named, nothing else of it."""
    found: list[str] = []
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            found += [a.name for a in node.names if a.name != "Random"]
        elif isinstance(node, ast.Attribute) and dotted(node).startswith("random."):
            found += [dotted(node)] if dotted(node) != "random.Random" else []
        elif isinstance(node, ast.Call) and dotted(node.func) in {"random.Random", "Random"}:
            found += [] if node.args else ["Random() without a seed"]
    assert found == []


STATE_NAMES = re.compile(
    r"\b(?:JobState|AgentState|OperatorState)\.\w+|\b(?:agent|job|operator)_state\b"
)


def test_invariant_02_a_service_never_decides_on_states():
    """Heuristic: no condition in a service names a state of a job, an agent or an operator."""
    found: list[str] = []
    for path in python_files(SOURCE):
        if path.name != "service.py":
            continue
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.If | ast.IfExp | ast.While) and STATE_NAMES.search(
                ast.unparse(node.test)
            ):
                found.append(f"{shown(path)}:{node.lineno}: {ast.unparse(node.test)}")
    assert found == []


def test_invariant_03_only_bus_knows_nats():
    found = [
        shown(path)
        for path in python_files(SOURCE)
        if any(name.split(".")[0] == "nats" for name in imported_modules(path))
    ]
    assert [name for name in found if not _row(name).startswith("bus/")] == []


def test_invariant_03_processes_are_started_by_few_modules():
    found: list[str] = []
    for path in python_files(SOURCE):
        name = _row(shown(path))
        if name in MAY_START_PROCESSES or name.startswith("testing/"):
            continue
        found += [f"{name}:{n}: {call}" for call, n in calls(path) if STARTS_A_PROCESS.match(call)]
    assert found == []


def test_invariant_03_only_fleet_ssh_runs_ssh():
    found: list[str] = []
    for path in python_files(SOURCE):
        if _row(shown(path)) == "fleet/ssh.py":
            continue
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.List | ast.Tuple) and node.elts:
                first = node.elts[0]
                if isinstance(first, ast.Constant) and first.value in {
                    "ssh",
                    "scp",
                    "sftp",
                    "rsync",
                }:
                    found.append(f"{shown(path)}:{node.lineno}")
    # A list of option or program names (for help and refusals) is no command line.
    assert [place for place in found if "/cli/" not in place] == []


def test_invariant_04_subjects_are_spelled_in_one_file():
    spelled = re.compile(
        r"^(?:covey\.(?:[\w*>-]*\.)?[as](?:\.|$)|covey\.$|\$JS\.|_INBOX\b|\.[as]\.$)"
    )
    found: list[str] = []
    for path in python_files(SOURCE):
        if _row(shown(path)) == "wire/subjects.py":
            continue
        found += [
            f"{shown(path)}:{node.lineno}: {node.value!r}"
            for node in ast.walk(syntax_tree(path))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and spelled.search(node.value)
        ]
    assert found == []


#: Waits whose limit is their last positional argument.
POSITIONAL_WAITS = frozenset({"asyncio.wait_for", "asyncio.timeout", "time.sleep", "asyncio.sleep"})


def test_invariant_08_a_wait_is_limited_by_something_with_a_name():
    """No literal seconds in a wait; 0 (do not wait at all) may be written as it is."""
    found: list[str] = []
    for path in python_files(SOURCE):
        for node in ast.walk(syntax_tree(path)):
            if not isinstance(node, ast.Call):
                continue
            limits = [k.value for k in node.keywords if k.arg in {"timeout", "timeout_s"}]
            if dotted(node.func) in POSITIONAL_WAITS:
                limits += node.args[-1:]
            found += [
                f"{shown(path)}:{node.lineno}: {ast.unparse(limit)}"
                for limit in limits
                if isinstance(limit, ast.Constant)
                and isinstance(limit.value, int | float)
                and limit.value != 0
            ]
    assert found == []


def test_invariant_08_a_queue_between_tasks_has_a_limit():
    bounded = {"asyncio.Queue", "queue.Queue", "asyncio.PriorityQueue", "queue.PriorityQueue"}
    unbounded = {"queue.SimpleQueue", "multiprocessing.SimpleQueue"}
    found: list[str] = []
    for path in python_files(SOURCE):
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in unbounded or (name in bounded and not (node.args or node.keywords)):
                    found.append(f"{shown(path)}:{node.lineno}: {name}")
    assert found == []


def test_invariant_10_only_clients_and_children_unpickle():
    found: list[str] = []
    for path in python_files(SOURCE):
        name = _row(shown(path))
        if name.startswith(MAY_PICKLE):
            continue
        found += [
            f"{name}: {module}"
            for module in sorted(imported_modules(path))
            if module.split(".")[0] in PICKLES
        ]
    assert found == []


def _numbers_with_a_test() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in python_files(ROOT / "tests"):
        for number in re.findall(r"def test_invariant_(\d\d)_\w+", path.read_text()):
            found.setdefault(int(number), []).append(shown(path))
    return found


@pytest.mark.parametrize("number", range(1, 13))
def test_each_invariant_has_a_test_that_carries_its_number(number: int):
    has_test = number in _numbers_with_a_test()
    if number in WAITING:
        assert not has_test, f"invariant {number} has a test now: take it off WAITING"
        pytest.skip(WAITING[number])
    assert has_test


def test_the_architecture_page_lists_the_twelve_invariants():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    section = page.split("## Invariants")[1].split("\n## ")[0]
    assert re.findall(r"^(\d+)\. ", section, re.MULTILINE) == [str(n) for n in range(1, 13)]
