"""Looking at the head ends whenever it has to, and leaves no task behind."""

import gc
import logging
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from covey.head.waiting import HeadWatch
from covey.settings import read_settings
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until


def test_who_still_asks_is_told_and_nothing_is_left_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[BaseException] = []

    def ask(watch: HeadWatch) -> None:
        try:
            watch.ask("states", hello=[])
        except BaseException as error:  # noqa: BLE001 - it is looked at
            heard.append(error)

    with Lab(tmp_path) as lab, lab.cluster(machines=1, slots=1) as parts:
        for name in ("COVEY_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, lab.env[name])
        watch = HeadWatch(read_settings())
        with faults.frozen(parts.head), caplog.at_level(logging.WARNING, "asyncio"):
            asking = threading.Thread(target=ask, args=(watch,), daemon=True)
            asking.start()
            link = watch._link  # pyright: ignore[reportPrivateUsage]
            open_requests = link._asking._waiting  # pyright: ignore[reportPrivateUsage]
            wait_until(lambda: open_requests, describe=lambda: {"heard": heard})
            watch.close()
            asking.join(60)
            gc.collect()
        assert [type(error) for error in heard] == [CancelledError]
        assert caplog.records == []
        watch.close()
        with pytest.raises(CancelledError):
            watch.ask("states", hello=[])
