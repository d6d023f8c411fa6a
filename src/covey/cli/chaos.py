"""`covey chaos`: break a virtual machine on purpose and watch the work go on."""

import click

from covey.cli.call import Call, command
from covey.cli.duration import duration, parse_duration
from covey.cli.head import head_of
from covey.cli.offer import machine_names
from covey.cli.output import print_json, say
from covey.errors import UsageError

#: A machine is frozen or cut off for this long unless `--for` says otherwise.
FOR_DEFAULT_S = 3.0
#: Longest time for which a machine may be frozen or cut off.
FOR_MAX_S = 3600.0

_DONE = {
    "kill": "{machine} was killed; bring it back with: covey up --local",
    "freeze": "{machine} stands still for {time}",
    "cut": "{machine} is cut off for {time}",
}


@command(
    "chaos",
    examples="""
covey chaos kill local2
covey chaos freeze local1 --for 10s
covey chaos cut local3 --for 1m
""",
)
@click.argument("how", type=click.Choice(tuple(_DONE)), metavar="kill|freeze|cut")
@click.argument("machine", shell_complete=machine_names)
@click.option(
    "--for", "time", metavar="TIME", help="How long to freeze or cut, e.g. 10s (default 3s)."
)
def chaos(call: Call, how: str, machine: str, time: str | None) -> None:
    r"""Kill, freeze or cut off MACHINE, a virtual machine of `covey up --local N`.

    \b
    kill    its agent dies at once (SIGKILL), and its tasks with it
    freeze  its agent stands still (SIGSTOP), then goes on
    cut     its connection to the bus is cut, then comes back

    Machines over ssh are refused: this is for trying out what a fault does.
    """
    for_s = FOR_DEFAULT_S if time is None else parse_duration(time)
    if not 0 < for_s <= FOR_MAX_S:
        raise UsageError(f"--for {time}: give a time up to {duration(FOR_MAX_S)}")
    with head_of(call.settings()) as head:
        answer = head.ask("chaos", how=how, machine=machine, for_s=for_s)
    if call.as_json:
        print_json({"how": how, "machine": machine, "for_s": for_s, **answer})
    else:
        say(_DONE[how].format(machine=machine, time=duration(for_s)))
