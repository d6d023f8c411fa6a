"""Which machines run a Python on which the code of a function can run.

Code that travels by value is bytecode of one minor version. Where some machines of the cluster run
another, a function of such code goes to the others only; where all do, it goes anywhere, and is
refused with a sentence.
"""

import operator
import pickle

from covey.agent.elsewhere import holds_code, this_python
from covey.client.cluster import ClusterFiles, Machine, files_of
from covey.client.feed import Feed, Options
from covey.errors import JobRejected
from covey.model.context import CallContext, decode_context
from covey.model.job import Shape

#: What functions that differ with each call travel behind: code is among the arguments.
_CALL = pickle.dumps(operator.call, 5)


def shape_of_call(feed: Feed, context: str, options: Options) -> Shape:
    """What calls of the function of a context need."""
    return Shape(
        kind="callable",
        context=context,
        slots=options.cpus,
        time_limit_s=options.time_limit_s,
        machines=_allowed(machines_for(feed, context), options.machines),
        user=feed.place.placing.user,
        priority=options.priority,
        labels=options.labels,
        avoid=options.avoid,
        is_spread=options.is_spread,
        may_preempt=options.may_preempt,
        waits_for_machines=options.waits_for_machines,
    )


def _allowed(able: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Machines that can and may; () = any.

    Raises:
        JobRejected: none.
    """
    if not (able and wanted):
        return able or wanted
    both = tuple(name for name in wanted if name in able)
    if not both:
        raise JobRejected(
            f"{' or '.join(wanted)} cannot run this function: code as it is travels only to Python"
            f" {this_python()}, which {', '.join(able)} have",
            reason="python",
        )
    return both


def machines_for(feed: Feed, digest: str) -> tuple[str, ...]:
    """Names of the machines that can run the function of a context; () = it may go anywhere."""
    if feed.place.is_private:
        return ()
    files = files_of(feed.place.settings)
    machines = files.machines()
    fitting = [m.name for m in machines if _minor_of(m, files) in ("", this_python())]
    if not fitting or len(fitting) == len(machines):
        return ()
    context = decode_context(feed.contexts[digest])
    if not isinstance(context, CallContext):
        return ()
    is_bound = context.function == _CALL or holds_code(context.function)
    return tuple(fitting) if is_bound else ()


def _minor_of(machine: Machine, files: ClusterFiles) -> str:
    """`3.11`; "" = not known: then the machine itself refuses."""
    record = files.remote(machine.name)
    return ".".join(record.python.split(".")[:2]) if record is not None else ""
