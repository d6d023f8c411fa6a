"""`covey scheduler`: an in-memory scheduler that others submit to."""

import sys

import click

from covey.cli.call import Call, command
from covey.cli.head import is_up, not_up
from covey.cli.output import counted, print_json, say
from covey.errors import UsageError


@command(
    "scheduler",
    examples="""
covey scheduler --name s1
covey scheduler --name s2 &
""",
)
@click.option("--name", required=True, metavar="NAME", help="What clients call it.")
def scheduler(call: Call, *, name: str) -> None:
    """Run a scheduler that others submit to, until Ctrl-C.

    It places tasks as every Executor does, knows nothing of the head's jobs or of other schedulers,
    and keeps nothing on disk. Programs use it with covey.Executor(schedulers=["s1", "s2"]): when
    s1 dies, they hand what is not finished to s2.

    It needs a cluster that is up on this machine, because it signs with the keys of its agents.
    `covey status` lists the schedulers that run, `covey down` ends them.
    """
    from covey.bus.loop import run_loop
    from covey.client.schedulers import checked_name
    from covey.head.shared import SharedScheduler, serve

    settings = call.settings()
    checked_name(name)
    if settings.head:
        raise UsageError(
            "a scheduler signs with the keys of the agents: run covey scheduler on the machine of"
            f" the head ({settings.head})"
        )
    if not is_up(settings):
        raise not_up(settings)

    def ready(made: SharedScheduler) -> None:
        machines, ready, slots = made.machines
        if call.as_json:
            facts = {"name": name, "machines": machines, "ready": ready, "slots": slots}
            print_json({"cluster": settings.cluster, "up": True, **facts})
        else:
            away = f" ({machines - ready} not ready)" if ready < machines else ""
            say(
                f"scheduler {name} of cluster {settings.cluster} is ready:"
                f" {counted(machines, 'machine')}{away}, {counted(slots, 'slot')}"
            )
        # Whoever waits for it reads a pipe.
        sys.stdout.flush()

    run_loop(serve(settings, name, ready))
