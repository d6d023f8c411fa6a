"""What runs on the machine of a head for those who come by ssh: programs, not commands."""

from covey.cli.main import OK
from covey.scheduler.places import located
from covey.settings import Settings, read_settings


def door(words: list[str]) -> int:
    """Answer a far client on standard input and output (`covey.client.door`)."""
    from covey.client.door import serve

    serve(_settings(words))
    return OK


def join_desk(words: list[str]) -> int:
    """Let a machine join that came by its own ssh (`covey.client.join_desk`)."""
    from covey.client.join_desk import serve

    return serve(_settings(words))


def _settings(words: list[str]) -> Settings:
    at = words.index("--cluster") if "--cluster" in words[:-1] else -1
    return located(read_settings(cluster=words[at + 1] if at >= 0 else None))
