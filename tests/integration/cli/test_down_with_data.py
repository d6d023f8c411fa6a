"""What tasks wrote in virtual machines goes with `down --purge --data`, also later."""

from pathlib import Path

import pytest

from covey.testing.cluster import Lab


@pytest.mark.timeout(300)
def test_data_of_virtual_machines_stays_until_it_is_asked_for(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        (tmp_path / "p.sh").write_text("#!/bin/sh\necho found > $COVEY_OUTPUT/found\n")
        machines = lab.state_dir / "machines"
        there = [machines / name / "work/output/p/found" for name in ("local1", "local2")]
        with lab.cluster():
            done = lab("run", "p.sh")
            assert done.returncode == 0, done.stderr
            # Nothing but what is asked for goes with one of them, and the other stays up.
            mine = machines / "local1/work/mine"
            mine.write_text("keep")
            left = lab("down", "local1", "--purge", "--data", "--yes")
            assert (left.returncode, left.stderr) == (0, "")
            assert left.stdout == "left: local1 (1 file of tasks removed, 6 B)\n"
            assert [path.exists() for path in there] == [False, True]
            assert sorted(lab.states()) == ["local2"]
        assert lab("down", "--purge").returncode == 0
        assert there[1].exists()
        done = lab("down", "--purge", "--data", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert list(machines.rglob("*")) == [machines / "local1", mine.parent, mine]
        # What was gathered here is the caller's.
        assert (tmp_path / "output/p/local2/found").read_text() == "found\n"
