"""What runs on the machine of a head for those who come by ssh: programs, not commands."""

from covey.cli.main import OK
from covey.scheduler.places import located
from covey.settings import read_settings


def door() -> int:
    """Answer a far client on standard input and output (`covey.client.door`)."""
    from covey.client.door import serve

    serve(located(read_settings()))
    return OK


def join_desk() -> int:
    """Let a machine join that came by its own ssh (`covey.client.join_desk`)."""
    from covey.client.join_desk import serve

    return serve(located(read_settings()))
