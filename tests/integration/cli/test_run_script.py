"""`covey run SCRIPT`: the script travels by digest, and what it wrote comes back."""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from covey.model.errand import GATHER_MAX_BYTES
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until

NAMES = ["local1", "local2"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    """Two virtual machines."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab, lab.cluster(machines=2, slots=1):
        yield lab


def work_dir(lab: Lab, name: str) -> Path:
    """The working directory of a virtual machine."""
    return lab.state_dir / "machines" / name / "work"


def script(lab: Lab, name: str, text: str) -> str:
    """A script beside the caller; its name."""
    (lab.directory / name).write_text(text)
    return name


def gathered(lab: Lab, project: str) -> dict[str, bytes]:
    """What lies in output/PROJECT, by path below it."""
    top = lab.directory / "output" / project
    return {
        str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
    }


def test_a_script_finds_its_project_and_what_it_writes_comes_back(lab: Lab):
    name = script(
        lab,
        "summer.py",
        "import os, sys\nfrom pathlib import Path\n"
        "data, out = Path(os.environ['COVEY_DATA']), Path(os.environ['COVEY_OUTPUT'])\n"
        "total = sum(int(p.read_text()) for p in data.iterdir())\n"
        "(out / 'sub dir').mkdir()\n"
        "(out / 'sub dir' / f'total {total}\\n').write_text(str(total))\n"
        "print('args', sys.argv[1:]); print('oops', file=sys.stderr)\n",
    )
    for number, machine in enumerate(NAMES, 1):
        data = work_dir(lab, machine) / "data" / "numbers"
        data.mkdir(parents=True)
        (data / "a").write_text(str(number))
    done = lab("run", "--project", "numbers", name, "--x", "y z")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "── local1, local2 (2)\nargs ['--x', 'y z']\n"
    assert done.stderr.endswith("2 files of local1, local2 in output/numbers/MACHINE/\n2 ok\n")
    assert gathered(lab, "numbers") == {
        **{f"local{n}/sub dir/total {n}\n": b"%d" % n for n in (1, 2)},
        **{f"{machine}/stdout": b"args ['--x', 'y z']\n" for machine in NAMES},
        **{f"{machine}/stderr": b"oops\n" for machine in NAMES},
    }


def test_distsys_s_words_work(lab: Lab):
    name = script(
        lab, "here.py", "import os; open(os.environ['COVEY_OUTPUT'] + '/f', 'w').close()\n"
    )
    done = lab("run", name, "tweets")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("covey: project tweets: the only word behind the script")
    assert sorted(gathered(lab, "tweets")) == [
        f"{machine}/{file}" for machine in NAMES for file in ("f", "stderr", "stdout")
    ]


def test_a_changed_script_replaces_the_one_that_is_there(lab: Lab):
    name = script(lab, "again.sh", "#!/bin/sh\necho one $0\n")
    assert "\none " in lab("run", name).stdout
    there = work_dir(lab, "local1").parent / "bin" / "again" / "again.sh"
    before = there.stat().st_ino
    lab("run", name)
    # The same bytes are not written again.
    assert there.stat().st_ino == before
    script(lab, "again.sh", "#!/bin/sh\necho two $0\n")
    assert f"two {there}\n" in lab("run", name).stdout
    # And one that was meddled with is put right.
    there.write_text("#!/bin/sh\necho evil\n")
    assert f"two {there}\n" in lab("run", name).stdout


def test_only_what_is_new_or_changed_comes_back(lab: Lab):
    name = script(
        lab,
        "more.py",
        "import os\nos.chdir(os.environ['COVEY_OUTPUT'])\n"
        "open('old', 'a').close()\nopen('changed', 'a').write('x')\nopen('new', 'w').write('n')\n"
        "os.symlink('/etc/passwd', 'link'); os.mkfifo('fifo')\n",
    )
    for machine in NAMES:
        output = work_dir(lab, machine) / "output" / "more"
        output.mkdir(parents=True)
        (output / "old").write_text("old")
        (output / "changed").write_text("c")
    assert lab("run", name).returncode == 0
    files = {path: data for path, data in gathered(lab, "more").items() if "std" not in path}
    assert files == {
        f"{machine}/{file}": data
        for machine in NAMES
        for file, data in (("changed", b"cx"), ("new", b"n"))
    }
    # Nothing was moved, and nothing is a link.
    assert (work_dir(lab, "local1") / "output" / "more" / "new").exists()
    here = lab.directory / "output" / "more"
    assert not any(path.is_symlink() for path in here.rglob("*"))


def test_what_is_too_much_stays_there_and_is_told(lab: Lab):
    name = script(
        lab,
        "big.py",
        "import os\nos.chdir(os.environ['COVEY_OUTPUT'])\nopen('a', 'wb').write(bytes(3_000_000))\n"
        f"open('b', 'wb').truncate({GATHER_MAX_BYTES})\n",
    )
    done = lab("run", "--limit", "local1", name)
    assert done.returncode == 0
    where = work_dir(lab, "local1") / "output" / "big"
    assert "local1: 1 file (" in done.stderr
    assert f"more than are gathered: they stay in {where}\n" in done.stderr
    assert len(gathered(lab, "big")["local1/a"]) == 3_000_000
    assert "local1/b" not in gathered(lab, "big")


def test_a_script_that_fails_brings_back_what_it_wrote(lab: Lab):
    name = script(
        lab,
        "fails.py",
        "import os\nopen(os.environ['COVEY_OUTPUT'] + '/partial', 'w').write('p')\n"
        "raise SystemExit(7)\n",
    )
    done = lab("run", name)
    assert done.returncode == 2
    assert gathered(lab, "fails")["local2/partial"] == b"p"
    again = lab("run", "--last-failed", "--json")
    assert {row["exit"] for row in json.loads(again.stdout)["machines"]} == {7}


def test_nothing_is_left_of_a_script_that_wrote_nothing(lab: Lab):
    name = script(lab, "quiet.sh", "#!/bin/sh\n:\n")
    assert lab("run", name).stderr == "2 ok\n"
    assert not (work_dir(lab, "local1") / "output" / "quiet").exists()


def test_a_directory_here_that_is_a_link_is_not_written_through(lab: Lab):
    name = script(
        lab,
        "linked.py",
        "import os\nout = os.environ['COVEY_OUTPUT'] + '/deep'\nos.makedirs(out, exist_ok=True)\n"
        "open(out + '/f', 'w').write('x')\n",
    )
    elsewhere = lab.directory / "elsewhere"
    elsewhere.mkdir()
    (lab.directory / "output" / "linked" / "local1").mkdir(parents=True)
    (lab.directory / "output" / "linked" / "local1" / "deep").symlink_to(elsewhere)
    done = lab("run", "--limit", "local1", name)
    assert "is a link: nothing is written through it" in done.stderr
    assert os.listdir(elsewhere) == []


# ---------------------------------------------------------------- machines and heads that die


def test_a_dead_machine_is_a_result_and_delays_nobody(tmp_path: Path):
    with Lab(tmp_path) as lab, lab.cluster(machines=3, slots=1) as cluster:
        faults.kill(cluster.agent("local2"))
        done = lab("run", "--json", "--", "echo hi")
        rows = {row["name"]: row for row in json.loads(done.stdout)["machines"]}
        assert done.returncode == 1
        assert {name: row["state"] for name, row in rows.items()} == {
            "local1": "ok",
            "local2": "unreachable",
            "local3": "ok",
        }
        assert rows["local2"]["reason"]
        failed = lab("run", "--last-failed", "--", "echo hi")
        assert "1 unreachable (local2)" in failed.stderr


def test_a_run_outlives_its_head(tmp_path: Path):
    with Lab(tmp_path) as lab, lab.cluster(machines=2, slots=1) as cluster:
        gate = tmp_path / "gate"
        call = lab.start("run", "--", f"until test -e {gate}; do sleep 0.05; done; echo through")
        wait_until(
            lambda: lab.view.jobs() and lab.view.jobs()[-1].held == 2,
            describe=lambda: {"err": call.err},
        )
        faults.kill(cluster.head)
        again = lab("up", "--local", "2")
        assert again.returncode == 0, again.stderr
        gate.touch()
        assert call.wait() == 0, call.err
        assert call.out == "── local1, local2 (2)\nthrough\n".encode()
