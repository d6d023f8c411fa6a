"""`covey completion SHELL`: the script that a shell reads.

The scripts are click's. They run `covey` again with `_COVEY_COMPLETE` set at each TAB; what is
offered comes from `cli.offer`.
"""

import sys

import click
from click.shell_completion import get_completion_class

from covey.cli.call import Call, command
from covey.cli.output import print_json, write_bytes
from covey.errors import UsageError

#: The shells that click writes scripts for.
SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    examples="""
covey completion bash > ~/.local/share/bash-completion/completions/covey
eval "$(covey completion zsh)"                                       in ~/.zshrc
covey completion fish > ~/.config/fish/completions/covey.fish
""",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(call: Call, shell: str) -> None:
    """Print the script that teaches SHELL to complete commands, options, jobs and machines.

    Needs bash 4.4 or newer, zsh, or fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"there is no completion for {shell}")
    maker = kind(click.Group("covey"), {}, "covey", "_COVEY_COMPLETE")
    # Not `source()`: it would start a shell to find its version, which the reader knows.
    script = maker.source_template % maker.source_vars()
    if call.as_json:
        print_json({"shell": shell, "script": script})
    else:
        write_bytes(script.encode(), sys.stdout)
