"""Links between the head and machines are cut and healed while tasks run: none is lost or doubled.

Skipped where there is no root or no `ip`: `pytest -rs` says why.
"""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.integration.netns.conftest import Site

from covey.model.task import OutcomeState
from covey.testing.cluster import Call
from covey.testing.netns import HEAD
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

#: Far over what anything here takes, also on a starved machine.
LONG_S = 180.0


class Work:
    """One item on each machine, which run until they are told to end; a slot there is free."""

    def __init__(self, site: Site, directory: Path, on_lost: str) -> None:
        self._site = site
        self._started, self._go = directory / "started", directory / "go"
        command = f"echo {{}} >>{self._started}; until [ -e {self._go} ]; do sleep 0.1; done"
        self.before = len(site.lab.view.jobs())
        self.call: Call = site.lab.map("--on-lost", on_lost, command, ":::", "a", "b")
        wait_until(lambda: self.started == ["a", "b"], describe=self._describe, timeout_s=LONG_S)

    @property
    def started(self) -> list[str]:
        """The items that were started, each as often as it was."""
        return sorted(self._started.read_text().split()) if self._started.exists() else []

    def end(self) -> None:
        """Let them end: each is recorded once, as a success, and was started once."""
        self._go.touch()
        assert self.call.wait(LONG_S) == 0, self.call.err
        rows = self._site.lab.outcomes(self.before + 1)
        assert [row.state for row in rows] == [OutcomeState.SUCCEEDED] * 2
        assert sorted(row.task for row in rows) == [1, 2]
        assert sorted(row.agent for row in rows) == ["lab1", "lab2"]
        assert self.started == ["a", "b"]

    def _describe(self) -> str:
        return f"{self.started} {self.call.err}"


def become(site: Site, name: str, state: str) -> None:
    """Wait until `status` says so."""
    wait_until(lambda: site.lab.states()[name] == state, describe=site.lab.states, timeout_s=LONG_S)


def tunnel(site: Site, name: str) -> str:
    """How the ssh connection to a machine is, as `status` tells it."""
    machines = json.loads(site.lab("status", "--json").stdout)["machines"]
    return next(machine["tunnel"] for machine in machines if machine["name"] == name)


def test_nothing_of_ours_listens_beyond_loopback(site: Site) -> None:
    assert site.net.listeners(HEAD)
    outside = {
        name: [at for at in site.net.listeners(name) if not at.startswith(("127.", "[::1]"))]
        for name in (HEAD, "lab1", "lab2")
    }
    sshd = {name: [f"{site.net.address(name)}:{m.port}"] for name, m in
            site.machines.machines.items()}  # fmt: skip
    assert outside == {HEAD: [], **sshd}


def links(site: Site) -> dict[str, AbstractContextManager[None]]:
    """Ways in which the link to lab1 can fail."""
    return {
        "down": site.net.cut("lab1"),
        "blackhole-to-machine": site.net.blackhole(HEAD, "lab1"),
        "blackhole-to-head": site.net.blackhole("lab1", HEAD),
    }


@pytest.mark.parametrize("how", ["down", "blackhole-to-machine", "blackhole-to-head"])
def test_a_machine_that_was_out_of_reach_is_adopted_with_what_it_runs(
    site: Site, tmp_path: Path, how: str
) -> None:
    work = Work(site, tmp_path, "wait")
    with links(site)[how]:
        become(site, "lab1", "unreachable")
        become(site, "lab2", "ready")
    become(site, "lab1", "ready")
    work.end()


def test_a_cut_that_outlasts_the_ssh_connection_loses_and_doubles_nothing(
    site: Site, tmp_path: Path
) -> None:
    work = Work(site, tmp_path, "wait")
    assert tunnel(site, "lab1") == "up"
    with site.net.cut("lab1"):
        wait_until(
            lambda: tunnel(site, "lab1") != "up",
            describe=lambda: tunnel(site, "lab1"),
            timeout_s=LONG_S,
        )
        assert site.lab.states()["lab1"] == "unreachable"
    become(site, "lab1", "ready")
    work.end()
