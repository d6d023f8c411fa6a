"""The kernel's table of sockets, read for the other end of ours."""

import os
import socket
from pathlib import Path

import pytest

from covey.bus import listener

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1387 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 100 1
   1: 0100007F:1387 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 101 1
   2: 0100007F:D431 0100007F:1387 01 00000000:00000000 00:00000000 00000000  1002        0 102 1
"""


def test_the_owner_is_that_of_the_accepted_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "tcp"
    table.write_text(TABLE)
    monkeypatch.setattr(listener, "TABLES", (tmp_path / "missing", table))
    assert listener.uid_of_peer(local_port=0xD431, peer_port=0x1387) == 1000
    assert listener.uid_of_peer(local_port=0x1387, peer_port=0xD431) == 1002
    assert listener.uid_of_peer(local_port=1, peer_port=0x1387) is None


@pytest.mark.skipif(not listener.can_tell(), reason="needs Linux's /proc/net/tcp")
def test_a_socket_of_ours_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours, server.accept()[0]:
            assert listener.uid_of_peer(ours.getsockname()[1], port) == os.getuid()
