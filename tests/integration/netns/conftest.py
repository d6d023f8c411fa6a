"""Two machines on a network of their own, up once for all tests here."""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from covey.testing.cluster import Lab
from covey.testing.netns import HEAD, Network, network
from covey.testing.programs import Unavailable
from covey.testing.sshd import Fleet, fleet


@dataclass
class Site:
    """A head, machines lab1 and lab2, and the network between them."""

    lab: Lab
    net: Network
    machines: Fleet

    def config(self) -> Path:
        """ssh_config for whoever is in the head's namespace."""
        client = self.machines.client
        known, lines = list[str](), list[str]()
        for name, machine in self.machines.machines.items():
            address = self.net.address(name)
            known.append(f"[{address}]:{machine.port} {machine.host_key}")
            lines += [f"Host {name}", f"  HostName {address}", f"  Port {machine.port}"]
            lines += [f"  User {machine.user}"]
        (client / "known_there").write_text("\n".join(known) + "\n")
        lines += ["Host *", f"  IdentityFile {self.machines.key}", "  IdentitiesOnly yes"]
        lines += [f"  UserKnownHostsFile {client / 'known_there'}"]
        lines += ["  GlobalKnownHostsFile /dev/null"]
        path = client / "config_there"
        path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """Everything but the machines themselves happens in the head's namespace."""
    with ExitStack() as stack:
        try:
            net = stack.enter_context(network("lab1", "lab2"))
            machines = stack.enter_context(fleet(2))
        except Unavailable as error:
            pytest.skip(f"no tier of network namespaces: {error}")
        for name, machine in machines.machines.items():
            machine.kill()
            machine.options["ListenAddress"] = net.address(name)
            with net.inside(name):
                machine.start()
        lab = stack.enter_context(Lab(tmp_path_factory.mktemp("netns")))
        site = Site(lab, net, machines)
        lab.env["COVEY_SSH_COMMAND"] = f"ssh -F {site.config()}"
        stack.enter_context(net.inside(HEAD))
        up = lab("up", "lab1", "lab2", "--slots", "2")
        assert up.returncode == 0, up.stderr + up.stdout
        try:
            yield site
        finally:
            down = lab("down")
        assert down.returncode == 0, down.stderr
