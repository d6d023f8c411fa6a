"""`covey map`: items in, a job on this machine or on the cluster that is up, output and exit
status out.
"""

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from covey.agent.cpus import default_slots
from covey.agent.here import this_computer
from covey.cli.map.ending import (
    Ending,
    command_line,
    exit_code,
)
from covey.cli.map.grammar import parse_map
from covey.cli.map.help import HELP
from covey.cli.map.inputs import Input, Inputs, waiting_hint
from covey.cli.map.joblog import Joblog, JoblogWriter, appends, read_joblog
from covey.cli.map.plan import MapPlan
from covey.cli.map.results import Results, open_results
from covey.cli.map.shell import shell_of
from covey.client.launch import Launch, SlotCount
from covey.client.reach import is_up
from covey.client.users import user_of_call
from covey.errors import UsageError
from covey.fleet.call_settings import has_config, settings_of_call
from covey.model.context import CommandContext, encode_context
from covey.scheduler.places import settled
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.jobs import JobOrder


def run_map(argv: list[str]) -> int:
    """Run `covey map` with these arguments; returns the exit status.

    Raises:
        CoveyError: the command line is wrong, or covey cannot do it.
    """
    plan = parse_map(argv)
    if plan.help:
        sys.stdout.write(HELP)
        return 0
    settings, note = settled(settings_of_call(plan.cluster))
    if note and not plan.quiet:
        sys.stderr.write(f"covey: {note}\n")
    if plan.nats_server:
        settings = replace(settings, nats_server=plan.nats_server)
    if plan.head or plan.here:
        settings = replace(settings, head=plan.head)
    with Inputs(plan) as inputs:
        call = _Call(plan, settings, argv, inputs)
        if not plan.names_machines or plan.dry_run:
            return call.run()
        # Dear, and rarely asked for.
        from covey.cli.for_call import machines_of_call

        found = machines_of_call(
            settings,
            plan.sshlogin,
            plan.hosts_file,
            plan.limit,
            accepts_new_host_keys=plan.accept_new_host_keys,
        )
        with found as machines:
            machines.check()
            for name, why in machines.failed.items():
                sys.stderr.write(f"covey: without {name}: {why}\n")
            return call.run(machines.names, ends_with_call=machines.ends_with_call)


def resume_run(settings: Settings, job: int, *, as_json: bool) -> int:
    """Go on with an interrupted private run; prints as its own command line asked for.

    Raises:
        CoveyError: it cannot be taken up.
    """
    from covey.scheduler.view import LedgerView

    row = LedgerView(settings.state_dir).job(job)
    argv = [os.fsdecode(cast(bytes, word)) for word in _words(row.spec.client.get("argv"))]
    plan = replace(parse_map(argv), as_json=as_json or parse_map(argv).as_json)
    slots = int(str(row.spec.client.get("slots", 0))) or default_slots()[0]
    # Its files were named from there.
    with contextlib.suppress(OSError):
        os.chdir(cast(bytes, row.spec.client.get("cwd", b".")))
    is_all_there = row.total is not None
    if not is_all_there and not _can_be_read_again(plan):
        sys.stderr.write(
            f"covey: job {job} was interrupted before its input ended:"
            f" only the {row.held:,} items that came are run\n"
        )
        is_all_there = True
    launch = Launch.take_up(settings, SlotCount(slots, "as before"), job)
    from covey.cli.map.start import go_on

    if is_all_there:
        return go_on(launch, plan, None)
    with Inputs(plan) as inputs:
        template = plan.template(inputs.names, functions=shell_of(os.environ).functions)
        tasks = inputs.tasks(template, slots=slots)
        return go_on(launch, plan, itertools.islice(tasks, row.held, None))


def _can_be_read_again(plan: MapPlan) -> bool:
    """Whether the same command line gives the same items in the same order once more."""
    files = [source.values[0] for source in plan.sources if source.kind != "values"]
    is_named = bool(plan.sources) and b"-" not in files
    return is_named and not (plan.shuf or plan.resume or plan.retry_failed or plan.pipe)


def _words(found: object) -> list[object]:
    return cast(list[object], found) if isinstance(found, list) else []


def _check_enterable(directory: str) -> None:
    try:
        # What is in a directory is found by those only who may enter it.
        os.stat(os.path.join(directory, "."))
    except OSError as error:
        advice = "make it first, or give one that you may enter"
        if directory == "...":
            advice = "GNU parallel's directory for each task is what tasks elsewhere have anyway"
        raise UsageError(f"--wd {directory}: {error.strerror} — {advice}") from error


class _Call:
    """One call of `covey map`, up to the start of its job."""

    def __init__(self, plan: MapPlan, settings: Settings, argv: list[str], inputs: Inputs) -> None:
        self._plan = plan
        self._settings = settings
        self._argv = argv
        self._inputs = inputs
        self._cpus, self._slots_from = default_slots()
        self._shell = shell_of(os.environ)
        self._template = plan.template(inputs.names, functions=self._shell.functions)
        self._log = Joblog()
        self._machines: tuple[str, ...] = ()
        if plan.is_numbered and plan.joblog:
            self._log = read_joblog(Path(plan.joblog))

    def run(self, machines: tuple[str, ...] = (), *, ends_with_call: bool = False) -> int:
        """Run it, on these machines only (() = any); the exit code.

        ends_with_call: they are there for this call, so the job ends with it.
        """
        plan = self._plan
        self._machines = machines
        results = open_results(plan, self._inputs.names)
        tasks = self._tasks(results)
        if plan.dry_run:
            return self._show(tasks)
        joblog = None
        if plan.joblog:
            joblog = JoblogWriter(Path(plan.joblog), append=appends(plan))
        hint = waiting_hint(plan, is_terminal=sys.stdin is not None and sys.stdin.isatty())
        if hint is not None and not plan.quiet:
            sys.stderr.write(f"covey: {hint}\n")
        first = next(tasks, None)
        if first is None:
            if joblog is not None:
                joblog.close()
            return exit_code(Ending(0, 0, 0), plan.halt)
        every = itertools.chain([first], tasks)
        launch = None
        if not self._uses_head():
            self._check_here()
            launch = Launch.begin(self._settings, self._slots())
        # Imported while the root process starts.
        from covey.cli.map.start import Start, go

        start = Start(self._plan, self._template, joblog, results, ends_with_call)
        return go(self._settings, launch, self._order(), start, every)

    def _check_here(self) -> None:
        """A private run accepts the job, before anything is started.

        Raises:
            JobRejected: it cannot be run here, or its user may not ask for that.
            UsageError: the directory of --wd cannot be entered: each task would fail for it.
        """
        if (directory := self._plan.workdir) is not None:
            _check_enterable(directory)
        if not self._plan.is_placed and not has_config():
            return
        from covey.client.accepting import admission_here

        spec, shape = self._plan.spec(user=user_of_call(), cpus=self._cpus)
        admitted = admission_here().job(replace(spec, shapes=(shape,)))
        self._plan = replace(self._plan, priority=admitted.shapes[0].priority)

    def _uses_head(self) -> bool:
        return not self._plan.here and is_up(self._settings)

    def _slots(self) -> SlotCount:
        slots = self._plan.slots(self._cpus)
        return SlotCount(slots, self._slots_from if self._plan.jobs is None else f"{slots}: -j")

    def _order(self) -> "JobOrder":
        from covey.client.jobs import JobOrder

        plan = self._plan
        cwd = os.path.join(os.getcwd(), plan.workdir) if plan.workdir else os.getcwd()
        context = encode_context(
            CommandContext(
                template=self._template.to_wire(),
                shell=self._shell.path,
                env=_environment(plan.env),
                cwd=cwd,
                at=this_computer(),
                env_elsewhere=_given(plan.env),
                cwd_elsewhere=plan.workdir or "",
            )
        )
        digest = hashlib.sha256(context).hexdigest()
        spec, shape = plan.spec(user=user_of_call(), cpus=self._cpus)
        client: dict[str, object] = {
            # As bytes: words of a command line need not be UTF-8.
            "argv": [os.fsencode(word) for word in self._argv],
            "command": os.fsencode(command_line(self._argv)),
            "cwd": os.fsencode(os.getcwd()),
            "slots": plan.slots(self._cpus),
            # With it, readers of the ledger can say what each task's command was.
            "template": self._template.to_wire(),
        }
        shape = replace(shape, context=digest, machines=self._machines)
        return JobOrder(replace(spec, shapes=(shape,), client=client), {digest: context})

    def _tasks(self, results: Results | None) -> Iterator[Input]:
        plan, log = self._plan, self._log
        if plan.retry_failed:
            return (Input(seq, [command], None) for seq, command in log.failed.items())
        skipped = log.skips(plan)

        def skip(seq: int, args: list[bytes]) -> bool:
            if seq in skipped:
                return True
            return (
                plan.resume and results is not None and not plan.joblog and results.has(args, seq)
            )

        return self._inputs.tasks(
            self._template,
            slots=plan.slots(self._cpus),
            skip=skip if plan.is_numbered else None,
        )

    def _show(self, tasks: Iterator[Input]) -> int:
        # Late: what runs its tasks imports it with all that it needs besides.
        from covey.cli.map.output import tagged

        out = sys.stdout.buffer
        for task in tasks:
            numbered = self._template.numbered
            args = [*task.args, b"%d" % task.seq] if numbered else task.args
            text = self._template.command_text(args, seq=task.seq, slot=1) + b"\n"
            out.write(tagged(text, b" ".join(task.args)) if self._plan.tag else text)
        out.flush()
        return 0


def _environment(given: tuple[str, ...]) -> dict[str, str]:
    return dict(os.environ) | _given(given)


def _given(words: tuple[str, ...]) -> dict[str, str]:
    """What `--env` names: with the value that is given, or the one that it has here."""
    env: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals or name in os.environ:
            env[name] = value if equals else os.environ[name]
    return env
