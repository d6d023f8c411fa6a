"""Words between a head and the verbs on a machine, also of different versions of covey."""

import json
import os
from pathlib import Path

from covey.agent import record
from covey.agent.machine import (
    ANSWER_MARK,
    Answer,
    MachineOrder,
    answer_line,
    marked_json,
    order_line,
    read_answer,
    read_order,
)
from covey.agent.record import AgentRecord


def _record() -> AgentRecord:
    return AgentRecord("lab1", "here", "host", os.getpid(), 1, "ab", "/tmp/x", archive="a.pyz")


def test_an_order_arrives_as_it_was_given() -> None:
    order = MachineOrder("c", "s", "a", "00", "u", "p", packages=("numpy==2.1", "é"), slots="50%")
    assert read_order(order_line(order)) == order
    assert b"\n" not in order_line(order)[:-1]


def test_no_secret_shows_in_what_is_printed_of_an_order() -> None:
    assert "sesame" not in repr(MachineOrder("c", "s", "a", "sesame", "u", "sesame"))


def test_the_answer_is_the_last_marked_line_whatever_is_around_it() -> None:
    answer = Answer("running", agent="lab1", notes=("é",))
    noise = f"Welcome!\n{ANSWER_MARK}{{}}\nhalf a line{answer_line(answer)}\nlogout\n"
    assert read_answer(noise.encode()) == answer
    assert read_answer(b"\xff\xfe\0") is None
    assert read_answer(f"{ANSWER_MARK}[1]".encode()) is None
    assert read_answer(f'{ANSWER_MARK}{{"state": "dancing"}}'.encode()) is None
    assert marked_json(f"{ANSWER_MARK}{{".encode()) is None


def test_what_another_version_answers_is_understood_as_far_as_it_is_known() -> None:
    plain = {"state": "running", "agent": "lab1", "pid": 7, "mood": "good"}
    assert read_answer((ANSWER_MARK + json.dumps(plain)).encode()) == Answer(
        "running", agent="lab1", pid=7
    )


def test_the_record_of_another_version_still_names_the_process(tmp_path: Path) -> None:
    path = tmp_path / record.NAME
    record.write(path, _record())
    assert record.read(path) == _record()
    plain = json.loads(path.read_text())
    del plain["slots_from"]
    path.write_text(json.dumps(plain | {"mood": "good"}))
    assert record.read(path) == _record()
    path.write_text("[]")
    assert record.read(path) is None


def test_only_the_agent_of_a_record_takes_it_away(tmp_path: Path) -> None:
    path = tmp_path / record.NAME
    record.write(path, _record())
    record.forget(path, "another incarnation")
    assert path.exists()
    record.forget(path, "ab")
    assert not path.exists()
