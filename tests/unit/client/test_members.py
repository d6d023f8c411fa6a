"""What a cluster keeps of its machines."""

from covey.agent.machine import Answer
from covey.client.members import RemoteRecord


def test_an_agent_that_another_covey_put_in_its_place_is_known_as_what_it_is() -> None:
    known = RemoteRecord("old", "/run/old", "covey-1.pyz", "/usr/bin/python3", "3.11.2", "Linux", 2)
    answer = Answer(
        "running", incarnation="new", runtime_dir="/run/new", archive="covey-2.pyz", slots=4
    )
    assert known.as_found(answer) == RemoteRecord(
        "new", "/run/new", "covey-2.pyz", "/usr/bin/python3", "3.11.2", "Linux", 4
    )
