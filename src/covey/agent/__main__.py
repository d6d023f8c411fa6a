"""Starts an agent: `python -m covey.agent [--lifeline FD]`.

The zygote is forked before anything large is imported, so that it and all children stay small.
"""

from covey.agent.zygote import fork_zygote


def main() -> None:
    """Fork the zygote, then become the agent."""
    zygote_pid, zygote_socket = fork_zygote()
    from covey.agent.root import run

    run(zygote_pid, zygote_socket)


if __name__ == "__main__":
    main()
