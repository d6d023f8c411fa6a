"""What a user submits: the job, its policies, and the shapes its tasks come in."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from covey.model.policy import DEFAULT_POLICY, DEFAULT_PROBE_RATIO


class JobState(StrEnum):
    """Life of a job; the transition table is `core.scheduler.JOB_TRANSITIONS`."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: States of jobs that something may still happen to.
OPEN_STATES = (JobState.RUNNING, JobState.CANCELLING)
#: States after which a job has no further outcome.
FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an attempt that did not succeed is tried again.

    `starts_max` counts all starts, the first included (GNU parallel's --retries); 0 = without end.
    `crash_limit`: starts lost with an agent or machine spend no start, but this many make the task
    poison (OutcomeState.LOST).
    """

    starts_max: int = 1
    crash_limit: int = 5


@dataclass(frozen=True, slots=True)
class HaltPolicy:
    """When to end a job early (GNU parallel's --halt).

    `soon` starts nothing more; `now` also stops what runs. Either `count` or `percent` (of all
    tasks) is set.
    """

    when: Literal["soon", "now"]
    on: Literal["fail", "success", "done"]
    count: int = 0
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What tasks of one kind need: it decides where and when they may run, and with which context.

    A shape travels to an agent once per session (`Describe`), so that reservations and grants
    stay small.
    """

    #: `command` runs in a runner, `callable` in a Python child.
    kind: Literal["command", "callable"] = "command"
    #: sha256 (hex) of the context: the template and environment, or the function. Fetched by
    #: digest.
    context: str = ""
    #: Slots that one task takes, all or none; 0 = it runs aside of the slots, at once (at most
    #: `core.slots.ASIDE_MAX` per agent).
    slots: int = 1
    #: Larger is served first.
    priority: int = 0
    #: Whose share this work counts against.
    user: str = ""
    #: At most this many tasks of the job at once on one agent (`-j`); 0 = as many as there are
    #: slots.
    limit: int = 0
    #: Seconds a task may run; 0 = no limit.
    time_limit_s: float = 0.0
    #: Time limit as a multiple of the median run time so far (`--timeout 200%` = 2.0); 0 = none.
    time_limit_medians: float = 0.0
    #: Start nothing while less memory is free (bytes; `--memfree`); 0 = no gate.
    memfree_bytes: int = 0
    #: Start nothing while the load average is over this (`--load`); 0 = no gate.
    load_max: float = 0.0
    #: False: one task at a time, never in chunks (tasks with side files, or with captured output).
    may_chunk: bool = True
    #: Bytes of output that are kept per stream and task; the middle is cut.
    output_max_bytes: int = 16 * 1024 * 1024
    #: Processes are given this niceness (added).
    nice: int = 0
    #: False: granted to a free slot only, never ahead of its start. So a job that may halt at an
    #: outcome starts nothing more once that outcome is known.
    may_wait: bool = True
    #: Only these agents may run it; () = any.
    machines: tuple[str, ...] = ()
    #: Only agents whose machine has all of these labels (the inventory's groups); () = any.
    labels: tuple[str, ...] = ()
    #: Never on these agents, by name or `@label`.
    avoid: tuple[str, ...] = ()
    #: At most one task of the job at once on one agent (anti-affinity among its own tasks).
    is_spread: bool = False
    #: Where no slot is free, it may stop a running task of lower priority; that one starts again
    #: later, and its start does not count.
    may_preempt: bool = False
    #: Keep when each task was queued, claimed, granted, started and ended (`model.phases`).
    is_traced: bool = False
    #: What no machine of the cluster may ever run waits for one that may; False = it is refused.
    waits_for_machines: bool = False
    #: Callables of one scheduler that name the same pool share child processes, whatever their job;
    #: "" = each job has its own.
    pool: str = ""

    @property
    def at_once(self) -> int:
        """Tasks of the job that may run at once on one agent; 0 = as many as there are slots."""
        return 1 if self.is_spread else self.limit


@dataclass(frozen=True, slots=True)
class JobSpec:
    """All that a scheduler needs to know of a job except its tasks."""

    name: str = ""
    user: str = ""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    halt: HaltPolicy | None = None
    #: What happens to tasks of an unreachable agent: run elsewhere, wait for it, or fail. With
    #: `fail`, so do tasks that wait for machines (`Shape.machines`) of which none can be reached.
    on_lost: Literal["rerun", "wait", "fail"] = "rerun"
    #: Least seconds between two starts of the job (`--delay`).
    start_delay_s: float = 0.0
    #: Shapes by number, from 1. More may be added while the job is open.
    shapes: tuple[Shape, ...] = ()
    #: Where its tasks go: a name of `model.policy.POLICIES`.
    policy: str = DEFAULT_POLICY
    #: d, the probes or reservations per task (real-valued, at least 1); 0 = less as load rises.
    probe_ratio: float = DEFAULT_PROBE_RATIO
    #: When the last pending task is granted, the reservations that are left are taken back.
    has_cancellation: bool = True
    #: False: the policy as in the paper. One task per claim, no standing reservations, no grant
    #: on credit (protocol.md rule 9).
    is_multi_get: bool = True
    #: Of its user against the other users in the fair share; whoever accepts the job sets it.
    weight: float = 1.0
    #: What only the client reads again: command line, template, working directory, output options…
    client: dict[str, object] = field(default_factory=dict[str, object])
