"""Machines without an agent: whether their sshd answers, for `covey status`."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.liveness import greets
from covey.fleet.ssh import Ssh


def probed(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """A row for each, as the head gives them; all are asked at once."""
    with tempfile.TemporaryDirectory(prefix="covey-") as directory:
        # A machine behind a jump host is logged in to, and out again.
        ssh = Ssh(Path(directory), os.environ)
        answers = fan_out(
            hosts,
            lambda host: greets(ssh, host),
            address_of=lambda host: (host.address, host.port),
        )
    return [_row(host, answer is True) for host, answer in zip(hosts, answers, strict=True)]


def _row(host: Host, is_there: bool) -> dict[str, Any]:
    why = f"bring it up with: covey up {host.name}"
    if not is_there:
        why = f"no sshd answers at {host.login}; see why with: covey doctor {host.name}"
    return {
        "name": host.name,
        "state": "no agent" if is_there else "unreachable",
        "kind": "ssh",
        "login": host.login,
        "address": host.address,
        "groups": list(host.labels),
        "slots": 0,
        "slots_from": "",
        "busy": 0,
        "why": why,
    }
