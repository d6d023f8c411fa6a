"""covey.Executor: `concurrent.futures.Executor` over this machine or the cluster that is up."""

import atexit
import operator
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast

from covey.agent.cpus import default_slots
from covey.client.calls import call_payload
from covey.client.engine import Shared, end_all
from covey.client.feed import OnFailover, Place
from covey.client.future import Future
from covey.client.knobs import Knobs, knobs_of, options_changed
from covey.client.mapping import Batching, Mapping
from covey.errors import NotUp, Unpicklable
from covey.fleet.call_settings import settings_of_call
from covey.scheduler.locks import head_is_up
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.attached import Calls

P = ParamSpec("P")
T = TypeVar("T")


class Executor(futures.Executor):
    """Runs calls in other processes: of this machine, or of the machines of a cluster.

    A drop-in for ProcessPoolExecutor: lambdas, closures and what is defined in `__main__` work, no
    `if __name__ == "__main__"` is needed, `Future.cancel()` stops a running task, and a child
    that dies fails (or retries) its own task only.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        local: bool = False,
        cluster: str | None = None,
        durable: bool = False,
        head: str | None = None,
        schedulers: Iterable[str] | None = None,
        on_failover: OnFailover | None = None,
        **knobs: Unpack[Knobs],
    ) -> None:
        """Start at once; returns without waiting.

        Args:
            max_workers: calls at once; default: on this machine the CPUs this process may use, on a
                cluster all its slots. Not with durable.
            local: this machine, even if a cluster is up.
            cluster: which cluster; default: $COVEY_CLUSTER, else `default`.
            durable: the calls are one job of the head (`job`): it goes on when this program ends or
                is killed, its results stay, and `attach` gets them. Needs a cluster that is up.
            head: the machine whose head is used, `[user@]host[:port]`, reached by ssh; default:
                $COVEY_HEAD, else this one. Then the calls are always one durable job.
            schedulers: names of shared schedulers (`covey scheduler --name s1`); the first that
                runs places the calls, instead of this program. When it dies, the next one is given
                what has not ended; what has ended is not run again. With none left, calls wait
                30 s for one to come back, then fail (SchedulerLost).
            on_failover: called, on a thread of its own, with the futures that were in flight when a
                scheduler died; returns "relaunch" (run them again, the default) or "partial" (they
                fail with SchedulerLost, what is finished stands). It must not wait for them.
            knobs: `policy="BATCH+LATE_BINDING"`: how tasks find their machines. `probe_ratio=2`:
                machines asked or reserved per task, 1 or more, or "auto": fewer as load rises.
                `cancellation=True`: reservations that are left over are taken back. `priority=0`:
                larger is more urgent, as far as covey.toml allows the user. `user=`: whose share
                the work counts against; default: $USER. `preempt=False`: where no slot is free,
                stop a running task of lower priority; it starts again later, and that start does
                not count.

        Raises:
            ValueError: max_workers is not positive; no such priority; arguments that exclude each
                other.
            UsageError: no such policy, or a knob that means nothing with it; no such scheduler.
            TypeError: there is no such knob; `on_failover` is no function.
            NotUp: durable, and no cluster is up; or none of the schedulers runs.
            CoveyError: covey cannot start; the message says what to do.
        """
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        placing, options = knobs_of(knobs)
        settings = settings_of_call(cluster)
        if head is not None or local:
            settings = replace(settings, head=head or "")
        _check_schedulers(schedulers, on_failover, local=local, durable=durable)
        durable = durable or (bool(settings.head) and schedulers is None)
        place = _place(settings, max_workers, local=local, durable=durable)
        if schedulers is not None:
            place = _at_schedulers(place, schedulers, on_failover)
        if settings.head:
            _end_before_the_connection()
        self._shared = Shared(replace(place, placing=placing))
        self._options = options
        self._finalizer = weakref.finalize(self, self._shared.let_go)
        # At exit it is `_at_exit` that decides.
        self._finalizer.atexit = False

    # ------------------------------------------------------------ concurrent.futures.Executor

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[T]:
        """Schedule `fn(*args, **kwargs)`.

        An argument that cannot be sent is told by the future (Unpicklable, a TypeError).

        Raises:
            RuntimeError: after `shutdown`.
            CoveyError: the processes that run tasks cannot be started (again).
        """
        engine = self._shared.engine()
        future: Future[Any] = Future(engine)
        try:
            context, is_argument = engine.functions.place(fn)
            payload = call_payload((fn, *args) if is_argument else args, kwargs)
        except Unpicklable as error:
            future.deliver(None, error)
        else:
            engine.submit(future, self._options, context, payload)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Like `map(fn, *iterables)`, in other processes, results in order.

        Short calls travel in batches whose size covey finds by itself. Closing the iterator, an
        exception or a timeout cancels what has not ended.

        Args:
            fn: what is called.
            iterables: its arguments; taken at once unless `buffersize` is given.
            timeout: seconds from this call after which waiting for a result raises TimeoutError.
            chunksize: calls per task; 1 (the default) lets covey choose by how long they take.
            buffersize: tasks (of `chunksize` calls) that are taken ahead of the results.

        Raises:
            ValueError: chunksize or buffersize is not positive.
            TypeError: buffersize is no integer.
            Unpicklable: `fn` cannot be sent.
            RuntimeError: after `shutdown`.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(cast(object, buffersize), int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        options, shared = self._options, self._shared
        context, is_argument = shared.engine().functions.place(fn)
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        if is_argument:
            calls = ((fn, *call) for call in calls)
        # Limits and retries count for each call, so then each is a task.
        place = shared.place
        is_each = options.retries or options.time_limit_s or options.is_spread
        is_plain = not is_each and not place.is_durable
        adapts = chunksize == 1 and buffersize is None and is_plain
        engine = shared.engine()
        mapping = Mapping(
            lambda: Future(engine),
            # What is taken later is refused after a shutdown, as the standard library does.
            lambda future, payload, deliver: (
                engine if buffersize is None else shared.engine()
            ).submit(future, options, context, payload, deliver),
            calls,
            Batching(chunksize, adapts, buffersize, place.slots, is_eager=place.is_durable),
        )
        return cast(Iterator[T], mapping.results(timeout, keep=self))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; `wait` for what was submitted; then the processes end.

        Without `wait`, a durable executor leaves its job to the head when the program ends.

        cancel_futures: what has no slot yet is cancelled; what runs goes on to its end.
        """
        engine = self._shared.shut()
        if engine is None:
            return
        if cancel_futures:
            engine.cancel_pending()
        engine.is_left = self._shared.place.is_durable and not wait
        engine.end()
        if wait:
            engine.join()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        """`shutdown`; after Ctrl-C everything is cancelled, running tasks included.

        A durable executor leaves its job to the head then.
        """
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            engine = self._shared.shut()
            if engine is not None:
                engine.stop()
        self.shutdown(wait=True)
        return False

    # ------------------------------------------------------------ beyond

    @property
    def job(self) -> int | None:
        """The number of a durable executor's job; None for others.

        Raises:
            CoveyError: the head cannot be reached.
        """
        if not self._shared.place.is_durable:
            return None
        return self._shared.job_number()

    @classmethod
    def attach(cls, job: int, *, cluster: str | None = None, head: str | None = None) -> "Calls":
        """The calls of a durable executor, by the number of its job, from any program.

        Works while the job runs, and after it has ended, with or without a head.

        Raises:
            JobNotFound: there is no such job.
            JobRejected: its tasks are no calls.
        """
        # Late: who attaches to nothing need not wait for what that takes.
        from covey.client.attached import Calls

        settings = settings_of_call(cluster)
        return Calls.of(settings if head is None else replace(settings, head=head), job)

    def with_options(
        self,
        *,
        cpus: int | None = None,
        retries: int | None = None,
        time_limit: float | None = None,
        priority: int | None = None,
        labels: str | Iterable[str] | None = None,
        machines: str | Iterable[str] | None = None,
        avoid: str | Iterable[str] | None = None,
        spread: bool | None = None,
        preempt: bool | None = None,
        wait: bool | None = None,
    ) -> "Executor":
        """This executor with other options for what is submitted through the result.

        A task that no machine of the cluster may ever run ends at once with JobRejected.

        Args:
            cpus: slots that one task takes.
            retries: how often a task that failed is started again (0 = not). Starts that were lost
                with a machine do not count.
            time_limit: seconds after which a task is killed (TaskTimeout); 0 = no limit.
            priority: larger is more urgent.
            labels: only on machines with this label, or all of these (`groups` of covey.toml).
            machines: only on this machine, or these.
            avoid: never on these machines; `@label`: on none that has it.
            spread: at most one such task at once on one machine.
            preempt: may stop a running task of lower priority.
            wait: what no machine may ever run waits for one that may.

        Raises:
            ValueError: an option that makes no sense.
            TypeError: cpus, retries or priority is no whole number.
        """
        place = self._shared.place
        if cpus is not None and place.is_private and cpus > place.slots:
            raise ValueError(f"cpus={cpus} is more than the {place.slots} slots there are")
        given = {
            **{"cpus": cpus, "retries": retries, "time_limit": time_limit, "priority": priority},
            **{"labels": labels, "machines": machines, "avoid": avoid},
            **{"spread": spread, "preempt": preempt, "wait": wait},
        }
        options = options_changed(self._options, given)
        other = object.__new__(Executor)
        other._shared = self._shared
        other._options = options
        # Shares the end as well: it comes when nobody can reach the engine any more.
        other._finalizer = self._finalizer
        other._parent = self
        return other

    #: The executor that this one was derived from is not dropped before it.
    _parent: "Executor | None" = None


def _place(settings: Settings, max_workers: int | None, *, local: bool, durable: bool) -> Place:
    """Where an executor works.

    Raises:
        ValueError: max_workers, and durable.
        NotUp: durable, and there is no head.
    """
    is_private = local or not (settings.head or head_is_up(settings.state_dir))
    if durable and is_private:
        raise NotUp(
            "durable=True needs a head that remembers: start one with: covey up --local 2"
            if not local
            else "durable=True and local=True exclude each other: a job that outlives its program"
            " needs the head of a cluster",
            cluster=settings.cluster,
        )
    if durable and max_workers is not None:
        raise ValueError(
            "a durable Executor goes on without this program, on all slots of the cluster: leave"
            " max_workers out"
        )
    slots, source = default_slots()
    workers = 0 if max_workers is None else operator.index(max_workers)
    if workers and is_private:
        slots, source = workers, "max_workers"
    at_once = 0 if is_private else workers
    return Place(settings, is_private, slots, source, is_durable=durable, at_once=at_once)


def _check_schedulers(
    names: Iterable[str] | None, on_failover: OnFailover | None, *, local: bool, durable: bool
) -> None:
    """Raises ValueError: arguments that exclude each other. TypeError: `on_failover` is no
    function.
    """
    if names is None and on_failover is not None:
        raise ValueError("on_failover is for an Executor with schedulers=")
    # Else the first to hear of it would be the calls of a scheduler that died.
    if on_failover is not None and not callable(on_failover):
        raise TypeError(f"on_failover must be a function that returns a word, not {on_failover!r}")
    if names is not None and (local or durable):
        raise ValueError(
            f"schedulers= and {'local' if local else 'durable'}=True exclude each other: shared"
            " schedulers are those of a cluster, and keep nothing on disk"
        )


def _at_schedulers(place: Place, names: Iterable[str], on_failover: OnFailover | None) -> Place:
    """The same with shared schedulers.

    Raises:
        UsageError: none is named, or one that this cluster never had.
        NotUp: the cluster is not up, or none of them runs.
    """
    # Late: who has none need not wait for what that takes.
    from covey.client.schedulers import checked_list

    if place.is_private:
        raise NotUp(
            f"cluster {place.settings.cluster} is not up, so no scheduler runs: start it with:"
            " covey up --local 2",
            cluster=place.settings.cluster,
        )
    names = names.split(",") if isinstance(names, str) else names
    found = checked_list(place.settings, names)
    return replace(place, schedulers=found, on_failover=on_failover)


def _at_exit() -> None:
    """As the standard library does, the interpreter waits for what was submitted; not after a
    Ctrl-C that nobody caught.
    """
    last = getattr(sys, "last_type", None)
    try:
        end_all(cancel=last is not None and issubclass(last, KeyboardInterrupt))
    except KeyboardInterrupt:
        end_all(cancel=True)


def _end_before_the_connection() -> None:
    """What is registered last is done first: the connection to a far head is closed behind us."""
    import covey.client.far  # noqa: F401 # pyright: ignore[reportUnusedImport]

    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


atexit.register(_at_exit)
