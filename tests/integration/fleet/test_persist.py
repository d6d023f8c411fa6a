"""An agent that comes back by itself: keys, the crontab line, and what happens at a boot."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.fleet.reach import connected, lab_of
from tests.integration.fleet.site import Site, order_for

from covey.agent import proctree
from covey.errors import BootstrapFailed
from covey.fleet.archive import Archive
from covey.testing.nats import CLUSTER, running_server
from covey.testing.waiting import COMMAND_MAX_S, wait_until

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, for an account of its own"),
    pytest.mark.skipif(
        shutil.which("crontab") is None and not os.environ.get("CI"),
        reason="needs crontab (tools/system_packages.sh)",
    ),
]


@pytest.fixture
def site(archive: Archive) -> Generator[Site]:
    """A machine with an account of its own, and with it a crontab of its own."""
    with lab_of(users=True) as lab, running_server("lab1") as server, connected(lab) as (link,):
        order = replace(order_for(server, "lab1"), is_persistent=True)
        site = Site(lab, lab["lab1"], link, server, archive, order)
        try:
            yield site
        finally:
            proctree.signal_all(site.machine.processes(), signal.SIGKILL)
            # Outside of the machine's home; the next account may have the same number.
            shutil.rmtree(_keys(site), ignore_errors=True)
            remove = ["crontab", "-u", site.machine.user, "-r"]
            subprocess.run(remove, capture_output=True, check=False, timeout=COMMAND_MAX_S)


def _crontab(site: Site) -> str:
    argv = ["crontab", "-u", site.machine.user, "-l"]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    ).stdout


def _reboot(site: Site, pid: int) -> None:
    """All processes of the machine die, its /tmp is emptied, and cron runs what it has."""
    proctree.signal_all(site.machine.processes(), signal.SIGKILL)
    wait_until(lambda: proctree.identify(pid) is None and not site.machine.processes())
    subprocess.run(
        ["find", str(site.machine.tmp), "-mindepth", "1", "-delete"],
        check=True,
        timeout=COMMAND_MAX_S,
    )
    account = pwd.getpwnam(site.machine.user)
    (line,) = [line for line in _crontab(site).splitlines() if line.startswith("@reboot ")]
    subprocess.run(
        ["/bin/sh", "-c", line.removeprefix("@reboot ").replace("\\%", "%")],
        env={
            "HOME": str(site.machine.home),
            "LOGNAME": site.machine.user,
            "SHELL": "/bin/sh",
            "PATH": "/usr/bin:/bin",
            # Not of cron: where this machine of the test kit has its /tmp.
            "TMPDIR": str(site.machine.tmp),
        },
        cwd=site.machine.home,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        check=True,
        timeout=COMMAND_MAX_S,
    )


def _keys(site: Site) -> Path:
    return Path(f"/var/tmp/covey-{pwd.getpwnam(site.machine.user).pw_uid}-{CLUSTER}.lab1")


def test_a_persistent_agent_comes_back_after_a_reboot_and_waits_for_its_tunnel(site: Site) -> None:
    first = site.start()
    assert first.is_persistent
    assert _keys(site).stat().st_mode & 0o777 == 0o700
    assert (_keys(site) / "order.json").stat().st_mode & 0o777 == 0o600
    _reboot(site, first.pid)
    again = site.look()
    assert again.state == "running"
    assert again.incarnation != first.incarnation
    assert again.is_persistent
    site.forward(again)
    site.await_met()
    assert site.start().state == "running"


def test_a_stop_takes_the_line_and_the_keys_away_and_leaves_other_lines(site: Site) -> None:
    theirs = "5 4 * * * /bin/true # mine\n"
    argv = ["crontab", "-u", site.machine.user, "-"]
    subprocess.run(argv, input=theirs, text=True, check=True, timeout=COMMAND_MAX_S)
    site.start()
    assert len(_crontab(site).splitlines()) == 2
    site.stop()
    assert _crontab(site) == theirs
    assert not _keys(site).exists()


def test_a_purge_leaves_no_crontab_where_there_was_none(site: Site) -> None:
    before = site.machine.files()
    site.start()
    site.purge()
    assert site.machine.files() == before
    assert not Path("/var/spool/cron/crontabs", site.machine.user).exists()
    assert not _keys(site).exists()


def test_an_agent_that_runs_but_would_not_come_back_is_said_to_be_outdated(site: Site) -> None:
    plain = replace(site.order, is_persistent=False)
    first = site.start(plain)
    assert _crontab(site) == ""
    assert site.start().state == "outdated"
    site.stop()
    assert site.start().is_persistent
    # The other way round nothing is taken away: `up` without --persist repairs.
    assert site.start(plain).state == "running"
    assert site.look().pid != first.pid


def test_keys_are_not_put_where_somebody_else_made_a_directory(site: Site) -> None:
    keys = _keys(site)
    keys.mkdir(mode=0o777)
    try:
        with pytest.raises(BootstrapFailed, match="belongs to user 0"):
            site.start()
        assert list(keys.iterdir()) == []
        # The agent that waits for its order ends when nobody gives it one.
        wait_until(lambda: site.machine.processes() == [])
    finally:
        keys.rmdir()
