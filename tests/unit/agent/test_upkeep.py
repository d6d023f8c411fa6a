"""What an agent sees to between tasks."""

import asyncio
import os
from pathlib import Path

import pytest

from covey.agent import persist, upkeep
from covey.agent.machine import MachineOrder
from covey.agent.order import StartOrder
from covey.errors import BootstrapFailed
from covey.testing.waiting import happens


def _order(tmp_path: Path, without_bus_s: float) -> StartOrder:
    log = str(tmp_path / "agent.log")
    return StartOrder(
        *("c", "a", "00", "11", 1, "", "", str(tmp_path)), without_bus_s=without_bus_s, log=log
    )


def test_a_long_log_is_cut_while_others_go_on_writing(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * (upkeep.LOG_MAX_BYTES // 4))
        upkeep.cut(log)
        assert log.stat().st_size == upkeep.LOG_MAX_BYTES  # not too long yet
        writer.write(b"last\n")
        upkeep.cut(log)
        assert log.stat().st_size == 0
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    kept = (tmp_path / "agent.log.1").read_bytes()
    assert kept.endswith(b"old\nlast\n")
    assert len(kept) <= upkeep.LOG_MAX_BYTES
    upkeep.cut(tmp_path / "no such log")


def test_files_that_a_tidy_system_would_take_are_touched(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    os.utime(lock, (1, 1))
    upkeep.touch(tmp_path)
    assert lock.stat().st_mtime > 1


async def test_an_agent_ends_only_when_its_bus_was_away_for_the_whole_time(tmp_path: Path) -> None:
    end, is_up = asyncio.Event(), True
    watch = asyncio.ensure_future(upkeep.keep_watch(_order(tmp_path, 0.05), lambda: is_up, end))
    for _ in range(5):
        # Over the limit all in all, but never without the bus.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(watch), 0.05)
    is_up = False
    await happens(end.is_set)
    await watch


async def test_a_persistent_agent_never_ends_by_itself(tmp_path: Path) -> None:
    end = asyncio.Event()
    watch = asyncio.ensure_future(upkeep.keep_watch(_order(tmp_path, 0.0), lambda: False, end))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch, 0.3)
    assert not end.is_set()


def test_keys_never_lie_on_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def of_network(_path: Path) -> str:
        return "nfs4"

    monkeypatch.setattr(persist, "file_system_of", of_network)
    order = MachineOrder("nosuchcluster", "c", "a", "00", "u", "p", is_persistent=True)
    with pytest.raises(
        BootstrapFailed, match=r"never lie on a network \(/var/tmp: nfs4"
    ) as refused:
        persist.keep(order, tmp_path / "covey.pyz")
    assert refused.value.data["remedy"] == "bring it up without --persist"
