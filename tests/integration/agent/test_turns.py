"""A batch that may end early: what an agent's child gives back of a batch that is too long."""

import pickle
import time
from typing import cast

from tests.integration.agent.rig import SUCCEEDED, Rig, function

from covey.model.context import TURN_TAG

#: How often a quick batch may be taken for a long one, because others had the processor.
TRIES = 20


def _nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def test_a_batch_that_takes_too_long_ends_with_what_it_has(rig: Rig) -> None:
    payload = TURN_TAG + pickle.dumps([(0.0,), (0.1,), (0.2,)])
    done = await rig.run(function(_nap), [payload])
    assert done.state is SUCCEEDED
    # Where others want the processor, the first call alone may have been long enough.
    ((values, took_s),) = cast(list[tuple[list[float], float]], done.values)
    assert values in ([0.0, 0.1], [0.0])
    assert took_s >= sum(values)


async def test_a_batch_that_is_quick_is_done_whole(rig: Rig) -> None:
    payload = TURN_TAG + pickle.dumps([(0.0,)] * 100)
    values: list[float] = []
    for _ in range(TRIES):
        done = await rig.run(function(_nap), [payload])
        ((values, _),) = cast(list[tuple[list[float], float]], done.values)
        if values == [0.0] * 100:
            break
    assert values == [0.0] * 100
