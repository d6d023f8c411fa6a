"""What a command line of `covey map` asks for, and the job that it means. Pure: no I/O."""

import re
from dataclasses import dataclass
from typing import Literal

from covey.cli.map.values import Relative, slots_of
from covey.errors import UsageError
from covey.model.job import HaltPolicy, JobSpec, RetryPolicy, Shape
from covey.model.policy import DEFAULT_POLICY, DEFAULT_PROBE_RATIO
from covey.model.template import Mode, Template

#: Records of --pipe are gathered to blocks of about this many bytes.
BLOCK_BYTES = 1 << 20

#: Replacement strings of GNU parallel that are not covey's: `{= perl =}` and those of --plus.
_FOREIGN = re.compile(
    rb"\{=.*?=\}|\{(?:\.\.|\.\.\.|/\.\.|/\.\.\.|\+/|\+\.{1,3}|##|0[%#]|choose_k)\}"
)
#: A word in braces outside quotes, nothing to the shell: only a mistyped placeholder looks so.
_NAMED = re.compile(rb"(?<![\w$\\{])\{([A-Za-z_][A-Za-z0-9_-]*)(?://|/\.|/|\.)?\}")
_QUOTED = re.compile(rb"'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.", re.DOTALL)
#: Programs whose own language has words in braces: `awk {print}`.
_BRACED = re.compile(rb"(?:^|[\s;|&(/])(?:[gmn]?awk|sed|perl|ruby|jq|xargs|find|tclsh)\b")


@dataclass(frozen=True, slots=True)
class Source:
    """One input source: values of a `:::`, or one file of `::::` or `-a` (`-` = standard input).

    `linked`: paired with the source before it (`:::+`, `::::+`) instead of crossed with it.
    """

    kind: Literal["values", "file"]
    values: tuple[bytes, ...]
    linked: bool = False


@dataclass(frozen=True, slots=True)
class MapPlan:
    """A parsed command line. Defaults are those of GNU parallel."""

    #: Words of the command; none = the items are the commands.
    command: tuple[bytes, ...] = ()
    #: In order; none = standard input.
    sources: tuple[Source, ...] = ()
    # Input.
    null: bool = False
    colsep: str | None = None
    header: bool = False
    link: bool = False
    shuf: bool = False
    no_run_if_empty: bool = False
    #: -N: arguments per task, also as {1} {2} …; -n: the same, joined by blanks. None = 1.
    max_replace_args: int | None = None
    max_args: int | None = None
    #: -X and -m: as many arguments as fit.
    context: bool = False
    xargs: bool = False
    pipe: bool = False
    block_bytes: int = BLOCK_BYTES
    # The command.
    replacement: bytes = b"{}"
    workdir: str | None = None
    #: NAME (the caller's value) or NAME=VALUE.
    env: tuple[str, ...] = ()
    nice: int = 0
    # When and where tasks run.
    jobs: Relative | None = None
    delay_s: float = 0.0
    retries: int = 1
    on_lost: Literal["rerun", "wait", "fail"] = "rerun"
    timeout_s: float = 0.0
    timeout_medians: float = 0.0
    halt: HaltPolicy | None = None
    memfree_bytes: int = 0
    load: Relative | None = None
    here: bool = False
    cluster: str | None = None
    #: The machine of its head; "" = COVEY_HEAD, else this one.
    head: str = ""
    nats_server: str | None = None
    #: Machines to run on, brought up for the call where they are not up.
    sshlogin: tuple[str, ...] = ()
    hosts_file: tuple[str, ...] = ()
    accept_new_host_keys: bool = False
    #: Only these of them, or of the cluster.
    limit: str = ""
    # Placement.
    policy: str = DEFAULT_POLICY
    #: None = nothing was said.
    probe_ratio: float | None = None
    cancellation: bool = False
    no_cancellation: bool = False
    priority: int = 0
    #: "" = who calls.
    user: str = ""
    label: tuple[str, ...] = ()
    #: Names, or @label.
    avoid: tuple[str, ...] = ()
    preempt: bool = False
    spread: bool = False
    wait: bool = False
    trace: bool = False
    name: str = ""
    # Output.
    keep_order: bool = False
    tag: bool = False
    line_buffer: bool = False
    dry_run: bool = False
    bar: bool = False
    eta: bool = False
    quiet: bool = False
    as_json: bool = False
    #: A leading `+` (append) is cut off into `joblog_appends`.
    joblog: str | None = None
    joblog_appends: bool = False
    results: str | None = None
    resume: bool = False
    resume_failed: bool = False
    retry_failed: bool = False
    help: bool = False

    @property
    def reads_stdin(self) -> bool:
        """Whether items (or the records of --pipe) come from standard input."""
        if self.retry_failed:
            return False
        return not self.sources or any(
            source.kind == "file" and source.values == (b"-",) for source in self.sources
        )

    @property
    def names_machines(self) -> bool:
        """Whether it says on which machines to run."""
        return bool(self.sshlogin or self.hosts_file or self.limit)

    @property
    def is_placed(self) -> bool:
        """Whether something was said of which machines may run it, and before whom."""
        return bool(self.label or self.avoid or self.priority or self.probe_ratio)

    @property
    def is_numbered(self) -> bool:
        """Whether tasks keep the numbers of an earlier run (`--resume` and its kin)."""
        return self.resume or self.resume_failed or self.retry_failed

    @property
    def mode(self) -> Mode:
        """How several arguments of one task stand in the command."""
        # With -N, a word is repeated whole also where -m asks for arguments only.
        if self.context or self.max_replace_args is not None:
            return "context"
        return "xargs" if self.xargs or self.max_args is not None else "one"

    @property
    def arguments_max(self) -> int | None:
        """Most input records in one task; None = as many as fit the line (-X, -m)."""
        wanted = self.max_replace_args if self.max_replace_args is not None else self.max_args
        if wanted is not None:
            return wanted
        return None if self.context or self.xargs else 1

    def slots(self, cpus: int) -> int:
        """How many tasks may run at once on a machine with this many CPUs."""
        return slots_of(self.jobs, cpus)

    def template(
        self,
        names: tuple[bytes, ...] = (),
        *,
        functions: tuple[bytes, ...] | None = (),
    ) -> Template:
        """The command as a template.

        Args:
            names: the columns that --header : found (`Inputs.names`).
            functions: exported shell functions; None = only a shell may run the command
                (see `shell.shell_of`).

        Raises:
            UsageError: a replacement string that covey does not know.
        """
        # The commands of --retry-failed come out of the joblog.
        text = b"" if self.retry_failed else b" ".join(self.command)
        _check_placeholders(text, names, self.replacement)
        return Template.parse(
            text,
            replacement=self.replacement,
            mode=self.mode,
            names=names,
            append=not self.pipe,
            functions=functions,
            numbered=self.is_numbered,
        )

    def spec(self, *, user: str = "", cpus: int = 1) -> tuple[JobSpec, Shape]:
        """The job and the shape of its tasks; the caller fills in `context` and `client`.

        Args:
            user: whose share the work counts against, where `--user` names nobody.
            cpus: what percentages of --load and -j refer to.
        """
        user = self.user or user
        shape = Shape(
            kind="command",
            user=user,
            limit=0 if self.jobs is None else self.slots(cpus),
            time_limit_s=self.timeout_s,
            time_limit_medians=self.timeout_medians,
            memfree_bytes=self.memfree_bytes,
            # As in GNU parallel, 0 is the lowest limit, not none.
            load_max=0.0 if self.load is None else self.load.of(cpus) or 0.01,
            nice=self.nice,
            may_chunk=self.halt is None,
            may_wait=self.halt is None,
            priority=self.priority,
            labels=self.label,
            avoid=self.avoid,
            is_spread=self.spread,
            may_preempt=self.preempt,
            is_traced=self.trace,
            waits_for_machines=self.wait,
        )
        job = JobSpec(
            name=self.name,
            user=user,
            policy=self.policy,
            probe_ratio=DEFAULT_PROBE_RATIO if self.probe_ratio is None else self.probe_ratio,
            has_cancellation=not self.no_cancellation,
            retry=RetryPolicy(starts_max=self.retries),
            halt=self.halt,
            on_lost=self.on_lost,
            start_delay_s=self.delay_s,
            shapes=(shape,),
        )
        return job, shape


def _check_placeholders(text: bytes, names: tuple[bytes, ...], replacement: bytes) -> None:
    if found := _FOREIGN.search(text):
        raise UsageError(
            f"covey map has no replacement string {_shown(found[0])}"
            " — it has {} {.} {/} {//} {/.} {#} {%} and {1} {2.} …"
        )
    if _BRACED.search(text):
        return
    known = {replacement, *(b"{" + name + b"}" for name in names)}
    bare = _QUOTED.sub(b" ", text)
    for match in _NAMED.finditer(bare):
        if match[0] in known or match[1] in names:
            continue
        columns = ", ".join(_shown(b"{" + name + b"}") for name in names)
        have = f"the columns are {columns}" if names else "columns have names only with --header :"
        raise UsageError(
            f"unknown placeholder {_shown(match[0])} — {have};"
            f" to pass it on as it is, write \"'{_shown(match[0])}'\""
        )


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
