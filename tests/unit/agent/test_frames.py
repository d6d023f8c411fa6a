import pytest

from covey.agent.frames import (
    CHUNK,
    ENDED,
    ENTRY,
    HEAD,
    Work,
    decode_work,
    encode_work,
    ended_head,
    read_ended,
    read_entries,
)
from covey.errors import DecodeError


def a_work() -> Work:
    return Work(
        kind="command",
        slot=2,
        digest="d",
        context=b"c",
        drop=["old"],
        workdir="/w",
        capture_dir="/c",
        has_capture=True,
        time_limit_s=1.5,
        output_max_bytes=10,
        nice=3,
        job=4,
        env={"A": "\udcff"},
        ids=[5, 6],
        ns=[1, 2],
        serial=9,
        payloads=[b"one", b""],
    )


def entries(*pairs: tuple[int, bytes]) -> bytes:
    return b"".join(ENTRY.pack(state, len(report)) + report for state, report in pairs)


def test_a_chunk_survives_its_frame() -> None:
    frame = encode_work(a_work())
    size, kind = HEAD.unpack_from(frame)
    assert (size, kind) == (len(frame) - HEAD.size, CHUNK)
    back = decode_work(memoryview(frame)[HEAD.size :])
    back.ids, back.ns = list(back.ids), list(back.ns)
    back.payloads = [bytes(p) for p in back.payloads]
    assert back == a_work()


def test_results_survive_their_frame() -> None:
    body = entries((1, b"abc"), (2, b""))
    frame = ended_head(7, 3, 2, 0.5, 1.5, len(body)) + body
    assert HEAD.unpack_from(frame) == (len(frame) - HEAD.size, ENDED)
    serial, base, count, begin, until, rest = read_ended(memoryview(frame)[HEAD.size :])
    assert (serial, base, count, begin, until) == (7, 3, 2, 0.5, 1.5)
    assert read_entries(rest, count, 0) == ([1, 2], [b"abc", b""])


def test_results_that_came_before_are_left_out() -> None:
    body = memoryview(entries((1, b"a"), (2, b"b"), (3, b"c")))
    assert read_entries(body, 3, 2) == ([3], [b"c"])
    assert read_entries(body, 3, 3) == ([], [])


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_results_that_end_early_are_refused(cut: int) -> None:
    body = entries((1, b"abc"), (2, b"xyz"))
    with pytest.raises(DecodeError):
        read_entries(memoryview(body[:-cut]), 2, 0)
    with pytest.raises(DecodeError):
        read_ended(memoryview(b"short"))
