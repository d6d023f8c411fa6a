"""What the doctor makes of what a machine said."""

from dataclasses import replace

import pytest

from covey.fleet.findings import Facts, Finding, findings

SAID = {
    "now": ["1"],
    "uid": ["1000"],
    "user": ["pi"],
    "home": ["/home/pi"],
    "python": ["python3 3.12.1", "python3.12 3.12.1"],
    "disk": ["9000000 /home/pi", "8000000 /tmp"],
    "fs": ["ext2/ext3"],
    "linger": ["yes"],
    "maxstartups": ["10:30:100"],
}
WELL = Facts("lab1", SAID, "", 0.2)


def _found(facts: Facts, check: str) -> Finding:
    return next(finding for finding in findings(facts) if finding.check == check)


def _saying(**said: str) -> Facts:
    return replace(WELL, said=SAID | {key: [value] for key, value in said.items()})


def test_a_machine_that_is_well_has_nothing_to_be_mended():
    assert {finding.state for finding in findings(WELL)} == {"ok"}
    assert all(finding.remedy == "" for finding in findings(WELL))


def test_python_of_another_age_is_named_with_what_is_needed():
    found = _found(_saying(python="python3 3.9.18"), "python")
    assert found.state == "wrong"
    assert found.text == "too old (3.11 needed): python3 is 3.9.18"
    assert "covey.toml" in found.remedy


def test_no_python_at_all_is_said_with_the_name_that_was_tried():
    bare = replace(WELL, said={**SAID, "python": []}, wanted_python="/opt/py/bin/python3")
    assert _found(bare, "python").text == "there is no /opt/py/bin/python3"


def test_an_old_python3_beside_a_new_one_is_no_trouble():
    both = replace(WELL, said={**SAID, "python": ["python3 3.9.2", "python3.12 3.12.1"]})
    found = _found(both, "python")
    assert (found.state, found.text[:22]) == ("ok", "python3.12 is 3.12.1 (")


@pytest.mark.parametrize(
    ("refused", "remedy"),
    [
        ("sh: 3: cannot create /home/pi/x: Read-only file system", "writable"),
        ("sh: 3: cannot create /home/pi/x: No space left on device", "du -xsh"),
    ],
)
def test_a_home_that_cannot_be_written_is_wrong(refused: str, remedy: str):
    found = _found(_saying(refused=refused), "home")
    assert found.state == "wrong"
    assert refused.rpartition(": ")[2] in found.text
    assert remedy in found.remedy


@pytest.mark.parametrize(("kb", "state"), [(50_000, "wrong"), (500_000, "warning"), (9**9, "ok")])
def test_room_on_the_disk_is_judged(kb: int, state: str):
    assert _found(_saying(disk=f"{kb} /home/pi"), "disk").state == state


@pytest.mark.parametrize(
    ("skew_s", "text"),
    [(-1.8e9, "20833 days behind"), (7200.0, "2 h ahead"), (-300.0, "5 min behind")],
)
def test_a_clock_that_is_off_is_a_warning_only(skew_s: float, text: str):
    found = _found(replace(WELL, skew_s=skew_s), "clock")
    assert found.state == "warning"
    assert text in found.text
    assert "timedatectl" in found.remedy


def test_without_sockets_the_port_does_and_without_both_nothing():
    by_port = _found(replace(WELL, socket_refused="no"), "forwarding")
    assert (by_port.state, "AllowStreamLocalForwarding" in by_port.remedy) == ("note", True)
    none = _found(replace(WELL, socket_refused="no", port_refused="no"), "forwarding")
    assert (none.state, "AllowTcpForwarding yes" in none.remedy) == ("wrong", True)


def test_few_startups_are_a_warning_whether_read_or_met():
    for facts in (_saying(maxstartups="2:30:3"), replace(WELL, closed=3)):
        found = _found(facts, "startups")
        assert found.state == "warning"
        assert "MaxStartups 30:30:100" in found.remedy
    assert _found(_saying(maxstartups=""), "startups").state == "ok"


def test_lingering_is_mended_by_one_command():
    found = _found(_saying(linger="no"), "linger")
    assert found.remedy == "run there: loginctl enable-linger pi"
    assert _found(_saying(linger="none"), "linger").state == "ok"


def test_noise_is_shown_and_cannot_be_long():
    found = _found(replace(WELL, noise="Welcome!" * 100), "noise")
    assert found.state == "warning"
    assert len(found.text) < 150


def test_root_and_a_shared_home_are_notes():
    assert _found(_saying(uid="0"), "user").state == "note"
    shared = _found(replace(WELL, same_home=("lab2", "lab3")), "shared-home")
    assert (shared.state, "lab2, lab3" in shared.text) == ("note", True)
