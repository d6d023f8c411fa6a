"""Starts an agent: `python -m covey.agent [--lifeline FD | --detached FD]`.

The zygote is forked before anything large is imported, so that it and all children stay small.
"""

import socket
import sys

from covey.agent.zygote import fork_zygote


def main() -> None:
    """Fork the zygote, then become the agent."""
    if sys.argv[1:2] == ["--detached"]:
        serve_detached(socket.socket(fileno=int(sys.argv[2])))
    zygote_pid, zygote_socket = fork_zygote()
    from covey.agent.root import run

    run(zygote_pid, zygote_socket)


def serve_detached(sock: socket.socket) -> None:
    """Become the agent that gets its order from a process which goes on without us."""
    zygote_pid, zygote_socket = fork_zygote()
    from covey.agent.root import run_detached

    run_detached(sock, zygote_pid, zygote_socket)


if __name__ == "__main__":
    main()
