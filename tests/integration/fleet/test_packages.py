"""The user's packages on a machine."""

import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.fleet.site import Site

from covey.errors import BootstrapFailed
from covey.testing.nats import CLUSTER
from covey.testing.waiting import COMMAND_MAX_S, wait_until


def _wheel(directory: Path, name: str) -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "ANSWER = 42\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_packages_of_a_machine_are_installed_once(site: Site, tmp_path: Path) -> None:
    order = replace(site.order, packages=(str(_wheel(tmp_path, "covey_trial_package")),))
    before = site.machine.files()
    started = site.start(order)
    (python,) = site.machine.home.glob(f".cache/covey/{CLUSTER}/lab1/packages-*/bin/python")
    made_at = python.lstat().st_mtime_ns
    argv = Path(f"/proc/{started.pid}/cmdline").read_bytes().split(b"\0")
    assert argv[0] == os.fsencode(python)
    say = "import covey_trial_package as p; print(p.ANSWER)"
    done = subprocess.run(
        [python, "-c", say], capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    )
    assert done.stdout == "42\n", done.stderr
    site.stop()
    site.start(order)
    assert python.lstat().st_mtime_ns == made_at
    site.purge()
    assert site.machine.files() == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_packages_that_pip_cannot_install_are_said(site: Site) -> None:
    with pytest.raises(BootstrapFailed) as failed:
        site.start(replace(site.order, packages=("./no-such-wheel-1.0-py3-none-any.whl",)))
    assert "pip cannot install ./no-such-wheel" in str(failed.value)
    assert "packages = in covey.toml" in failed.value.data["remedy"]
    wait_until(lambda: site.machine.processes() == [])
