"""covey.Cluster: machines from a program, with a typed result for each."""

import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from covey.bus.loop import apart
from covey.client.client import HeadClient
from covey.client.direct import TIMED_OUT, gather, machine_of
from covey.client.directories import MKDIR, made, mkdir_errand
from covey.client.errands import ErrandOrder, ErrandResult, run_to_end
from covey.client.executor import Executor
from covey.client.machine_results import (
    ExecResult,
    MachineStatus,
    MachineUp,
    MadeDirectory,
    RunResult,
    machine_error,
    machine_status,
    made_directory,
    run_result,
)
from covey.client.users import user_of_call
from covey.errors import AlreadyUp, CommandFailed, FleetError, MachineError, NotUp, UsageError
from covey.fleet.call_settings import settings_of_call
from covey.fleet.fields import read_group
from covey.fleet.inventory import read_inventory
from covey.head.lowering import DownOrder, down
from covey.head.raised import UpOrder
from covey.head.raising import up
from covey.model.errand import Errand
from covey.scheduler.locks import head_is_up
from covey.scheduler.places import located
from covey.settings import Settings

T = TypeVar("T")

__all__ = [
    "Cluster",
    "ExecResult",
    "MachineStatus",
    "MachineUp",
    "MadeDirectory",
    "RunResult",
]


class Cluster:
    """The machines of a cluster: brought up, looked at, given commands, taken down.

    Every method that acts on several machines answers for each of them. When something fails on
    some, it raises a FleetError whose `results` hold the good ones too. As a context manager it
    takes down at the end what its own `up` began.
    """

    def __init__(self, name: str | None = None) -> None:
        """name: which cluster; default: $COVEY_CLUSTER, else `default`.

        Raises:
            SettingsError: it cannot be a name.
        """
        self._name = name
        self._began = False
        self._settings()

    @property
    def name(self) -> str:
        """Its name."""
        return self._settings().cluster

    @property
    def is_up(self) -> bool:
        """Whether its head runs."""
        return head_is_up(self._settings().state_dir)

    # ------------------------------------------------------------ machines

    def up(
        self,
        hosts: str | Sequence[str] = (),
        *,
        hosts_files: str | Sequence[str] = (),
        local: int | None = None,
        slots: str | int = "",
        groups: Mapping[str, str] | None = None,
        accept_new_host_keys: bool = False,
    ) -> dict[str, MachineUp]:
        """Bring machines up; again = repair. Nothing is asked: ssh must get in without a question.

        Args:
            hosts: as on the command line: `lab1`, `8/pi@rack:2222`; one or several.
            hosts_files: lists of machines. Without either: COVEY_HOSTS, then covey.toml.
            local: so many virtual machines on this one.
            slots: of each, where its line names none: `4`, `150%`, `physical`.
            groups: group -> pattern of the machines in it (`{"gpu": "lab1,lab2"}`; "" = all of this
                call): labels for tasks, and for --limit.
            accept_new_host_keys: take unknown host keys as they are (a changed one never).

        Raises:
            FleetError: some did not come up; the others stay up, and are in `.results`.
            InventoryError, UsageError: what is named makes no sense.
        """
        given = () if local is not None and not (hosts or hosts_files) else None
        words, files = _several(hosts), _several(hosts_files)
        inventory = read_inventory(words, files).hosts if given is None else given
        order = UpOrder(
            hosts=inventory,
            local=local,
            slots=str(slots),
            groups=_groups(groups or {}),
            accepts_new_host_keys=accept_new_host_keys,
        )
        try:
            done = apart(lambda: up(self._settings(), order))
        except AlreadyUp:
            known = self.status().values()
            return {one.name: MachineUp.found(one) for one in known}
        self._began |= not done.was_up
        results: dict[str, MachineUp | MachineError] = {}
        for one in done.machines:
            if one.error is not None:
                error = one.error
                is_one = isinstance(error, MachineError)
                results[one.name] = (
                    error if is_one else MachineError(error.message, machine=one.name)
                )
            else:
                about = (one.state, one.platform, one.python, one.slots, one.elapsed_s)
                results[one.name] = MachineUp(one.name, *about)
        return _all_good(results, "did not come up")

    def status(self) -> dict[str, MachineStatus]:
        """Every machine, as the head sees it now.

        Raises:
            NotUp: there is no cluster.
        """
        rows = self._ask("status")["machines"]
        return {str(row["name"]): machine_status(row) for row in rows}

    def drain(self, *machines: str, undo: bool = False) -> None:
        """Let machines finish what they run and take no more; `undo`: take work again.

        Raises:
            UsageError: there is no machine of such a name.
        """
        self._ask("drain", machines=list(machines), on=not undo)

    def down(self, *machines: str, purge: bool = False) -> dict[str, bool]:
        """Stop the cluster, or only these machines. Returns whether each was stopped.

        purge: remove archives, caches and logs of covey there as well.
        """
        order = DownOrder(only=machines or None, is_purge=purge)
        done = apart(lambda: down(self._settings(), order))
        if not machines:
            self._began = False
        return {one.name: one.is_stopped for one in done.machines}

    # ------------------------------------------------------------ commands

    def run(
        self,
        command: str | Sequence[str] = (),
        *,
        script: str | os.PathLike[str] | None = None,
        project: str = "",
        machines: str | Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
        check: bool = True,
    ) -> dict[str, RunResult]:
        """Run a command or a script on every machine at once, as `covey run`.

        Args:
            command: a line for the shell there, or a program and its arguments. With a script: its
                arguments.
            script: a file here.
            project: whose COVEY_DATA and COVEY_OUTPUT; a script has one of its name.
            machines: only these.
            env: added to the environment there.
            timeout_s: kill it after so long; 0 = never.
            check: False: results that are not ok are returned, and nothing is raised.

        Raises:
            FleetError: it did not succeed on some machines; `.results` has all.
            NotUp: there is no cluster.
            ValueError: timeout_s is negative, or no number.
        """
        _check_timeout(timeout_s)
        errand, text = _errand(command, script, project, env)
        order = ErrandOrder(
            errand, _several(machines), timeout_s=timeout_s, command=os.fsencode(text)
        )
        found = [run_result(one) for one in self._run(order)]
        if not check:
            return {one.machine: one for one in found}
        results = {one.machine: one if one.is_ok else machine_error(one, text) for one in found}
        return _all_good(results, f"did not succeed with: {text}")

    def exec(
        self,
        machine: str,
        command: str | Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = 0.0,
        check: bool = True,
    ) -> ExecResult:
        """Run a command on one machine, through its ssh connection; it is no job.

        Raises:
            CommandFailed: it ended with another exit code than 0 (unless `check` is False).
            ConnectFailed: the machine cannot be reached.
            UsageError: there is no machine of that name.
            ValueError: timeout_s is negative, or no number.
        """
        _check_timeout(timeout_s)
        words = [command] if isinstance(command, str) else list(command)
        if not words:
            raise UsageError("say what to run: a line, or a program and its arguments")
        settings = self._settings()
        there = machine_of(settings, machine)
        done = gather(settings, there, words, stdin=stdin, timeout_s=timeout_s)
        if check and done.code:
            tail = done.err.decode(errors="replace").rstrip()
            limit = (
                f" (time limit: {timeout_s:g} s)" if timeout_s and done.code == TIMED_OUT else ""
            )
            last = f": {tail.splitlines()[-1]}" if tail else ""
            raise CommandFailed(
                f"{machine}: exit {done.code}{limit}{last}",
                machine=machine,
                command=shlex.join(words),
                code=done.code,
                tail=tail,
            )
        return ExecResult(there.name, done.code, done.out, done.err)

    def mkdir(
        self,
        *paths: str | os.PathLike[str],
        parents: bool = False,
        machines: str | Iterable[str] = (),
        check: bool = True,
    ) -> dict[str, tuple[MadeDirectory, ...]]:
        """Make directories on every machine; what is there already is no error.

        Raises:
            FleetError: it failed on some machines; `.results` has all.
        """
        wanted = [os.fsencode(path) for path in paths]
        errand = mkdir_errand(wanted, parents=parents)
        text = b"covey mkdir " + b" ".join(wanted)
        order = ErrandOrder(errand, _several(machines), kind=MKDIR, command=text)
        results: dict[str, tuple[MadeDirectory, ...] | MachineError] = {}
        for one in self._run(order):
            found = tuple(made_directory(each) for each in made(one, wanted))
            bad = [each for each in found if each.state == "failed"]
            results[one.machine] = found
            if bad and check:
                why = "; ".join(f"{each.path}: {each.error}" for each in bad)
                results[one.machine] = MachineError(f"{one.machine}: {why}", machine=one.machine)
        return _all_good(results, "did not make all directories")

    # ------------------------------------------------------------ calls

    def executor(self) -> Executor:
        """An Executor whose calls run on the machines.

        Raises:
            NotUp: there is no cluster.
        """
        if not self.is_up:
            raise NotUp(cluster=self.name)
        return Executor(cluster=self.name)

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], chunksize: int = 1) -> list[T]:
        """Like `list(map(fn, *iterables))`, on the machines.

        Raises:
            NotUp: there is no cluster.
            BaseException: what `fn` raised first.
        """
        with self.executor() as executor:
            return list(executor.map(fn, *iterables, chunksize=chunksize))

    # ------------------------------------------------------------ inside

    def _settings(self) -> Settings:
        return located(settings_of_call(self._name))

    def _ask(self, what: str, **args: Any) -> dict[str, Any]:
        settings = self._settings()
        if not self.is_up:
            raise NotUp(cluster=settings.cluster)

        def ask() -> dict[str, Any]:
            with HeadClient.connect(settings) as head:
                return head.ask(what, **args)

        return apart(ask)

    def _run(self, order: ErrandOrder) -> list[ErrandResult]:
        settings = self._settings()
        order = replace(order, user=user_of_call())
        return apart(lambda: run_to_end(settings, order))

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._began:
            self.down()


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    """One name alone is one, not its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _errand(
    command: str | Sequence[str],
    script: str | os.PathLike[str] | None,
    project: str,
    env: Mapping[str, str] | None,
) -> tuple[Errand, str]:
    """What to run, and how it is written."""
    words = shlex.split(command) if script and isinstance(command, str) else command
    base = Errand(project=project, env=dict(env or {}))
    if script is not None:
        path = Path(script)
        argv = tuple(os.fsencode(word) for word in words)
        found = replace(base, argv=argv, script_name=os.fsencode(path.name))
        found = replace(found, script=path.read_bytes(), project=project or path.stem)
        return found, shlex.join(["covey", "run", str(path), *words])
    if not words:
        raise UsageError("say what to run: a line, a program and its arguments, or a script")
    if isinstance(words, str):
        return replace(base, line=os.fsencode(words)), shlex.join(["covey", "run", "--", words])
    argv = tuple(os.fsencode(word) for word in words)
    return replace(base, argv=argv), shlex.join(["covey", "run", "--", *words])


def _check_timeout(timeout_s: float) -> None:
    """Raises ValueError: it is no length of time."""
    if not 0 <= timeout_s < math.inf:
        raise ValueError(f"timeout_s must be a number of seconds, 0 = never, not {timeout_s!r}")


def _all_good(results: Mapping[str, T | MachineError], what: str) -> dict[str, T]:
    """The results, when none of them is an error.

    Raises:
        FleetError: else.
    """
    good: dict[str, T] = {}
    bad: list[str] = []
    for name, result in results.items():
        if isinstance(result, MachineError):
            bad.append(str(result))
        else:
            good[name] = result
    if bad:
        count = f"{len(bad)} of {len(results)} machines"
        raise FleetError(f"{count} {what}: {'; '.join(bad)}", results=dict(results))
    return good


def _groups(patterns: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((read_group(group), pattern) for group, pattern in patterns.items())
    except ValueError as error:
        raise UsageError(f"groups: {error}") from error
