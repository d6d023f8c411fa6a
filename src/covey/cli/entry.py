"""Where the program `covey` enters: Ctrl-C ends it quietly from its first import on.

This module and the package above it import next to nothing: whatever they did would happen before
anybody could catch the Ctrl-C of a person who changed their mind.
"""

#: Ctrl-C, as a shell says it: 128 + SIGINT. (`cli.main` has it too, for all that comes later.)
INTERRUPTED = 130


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    try:
        from covey.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
