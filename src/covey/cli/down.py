"""`covey down` and distsys's `shutdown_local`."""

from covey.cli.call import Call, command
from covey.cli.output import note, print_json, say
from covey.head.lowering import Down, DownOrder
from covey.head.lowering import down as lower


@command("down", examples="covey down\ncovey --cluster lab down")
def down(call: Call) -> None:
    """Stop the cluster: its agents, their tasks, the head and the bus.

    Nothing of it is left running. The ledger stays, so `jobs`, `show` and `logs` still answer. When
    the cluster is not up, it says so and ends with 0.
    """
    done = _stop(call)
    if done.was_up and not call.as_json:
        say(f"cluster {call.settings().cluster} is down")


@command("shutdown_local", examples="covey shutdown_local")
def shutdown_local(call: Call) -> None:
    """Stop the virtual machines: the same as `down`, in distsys's words."""
    done = _stop(call)
    if done.was_up and not call.as_json:
        for machine in done.machines:
            say(f"Client {machine.name} shutting down.")


def _stop(call: Call) -> Down:
    settings = call.settings()
    done = lower(settings, DownOrder())
    if call.as_json:
        machines = [machine.name for machine in done.machines]
        value = {"was_up": done.was_up, "machines": machines}
        print_json({"cluster": settings.cluster, "up": False, **value})
    elif not done.was_up:
        note(f"covey: cluster {settings.cluster} is not up")
    return done
