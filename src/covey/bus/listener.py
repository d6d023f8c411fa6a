"""Whose process is at the other end of a loopback connection (protocol.md rule 36); Linux only.

Any local user can listen on a loopback port that our server has just left, and would be handed our
password. Asked is the accepted socket itself, not the listening one: between a look at the listener
and our connect the port could change hands.
"""

from pathlib import Path

#: The kernel's tables of TCP sockets.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def uid_of_peer(local_port: int, peer_port: int) -> int | None:
    """User id of the process that accepted our loopback connection local_port → peer_port.

    None: no such row, so the connection is gone, or this system has no such tables.
    """
    for table in TABLES:
        try:
            text = table.read_text()
        except OSError:
            continue
        if (uid := _uid_of(text, local_port, peer_port)) is not None:
            return uid
    return None


def can_tell() -> bool:
    """Whether this system says whose sockets are whose."""
    return TABLES[0].exists()


def _uid_of(text: str, local_port: int, peer_port: int) -> int | None:
    # sl local_address rem_address st tx:rx tr:tm retrnsmt uid …; the server's socket is the mirror
    # of ours.
    theirs, ours = f":{peer_port:04X}", f":{local_port:04X}"
    for line in text.splitlines()[1:]:
        words = line.split(None, 8)
        if words[1].endswith(theirs) and words[2].endswith(ours):
            return int(words[7])
    return None
