"""Runs of a simulation on all cores: one process per core, one run at a time in each.

Results come back in the order of the runs, so what is printed does not depend on who was faster.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from covey.cli.output import note
from covey.cli.signals import ended_by_signals
from covey.cli.sim.plan import cores
from covey.sim.study import Result, Study, run

#: Objects made between two looks for cycles. A simulation makes millions and no cycles: the usual
#: 700 cost an eighth of its time.
GC_EVERY = 1_000_000


@dataclass(frozen=True, slots=True)
class Done:
    """All results, and how long they took together."""

    results: list[Result]
    elapsed_s: float
    processes: int

    @property
    def events(self) -> int:
        """Events that happened in all runs."""
        return sum(result.points[0].events for result in self.results if result.points)


def run_all(studies: list[Study], processes: int | None = None) -> Done:
    """Run all; with more than one process, the longest (by their order, the last) begin first."""
    began = time.monotonic()
    processes = max(1, min(processes or cores(), len(studies)))
    if processes == 1:
        results = [_run(study) for study in studies]
    else:
        results = _in_processes(studies, processes)
    return Done(results, time.monotonic() - began, processes)


def _run(study: Study) -> Result:
    before = gc.get_threshold()
    gc.set_threshold(GC_EVERY)
    try:
        return run(study)
    finally:
        gc.set_threshold(*before)


def _in_processes(studies: list[Study], processes: int) -> list[Result]:
    context = multiprocessing.get_context("spawn")
    with (
        ended_by_signals(),
        ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool,
    ):
        # High loads take longest and come last: begun first, no core waits for one at the end.
        futures = _submit(pool, studies)
        try:
            _follow(futures, len(studies))
        except BaseException:
            # Ctrl-C does not wait for what may take minutes.
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        results = {at: future.result() for future, at in futures.items()}
    return [results[at] for at in range(len(studies))]


def _end_with_parent() -> None:
    """Lets this process end when the one that started it does, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.join,), daemon=True).start()


def _watch(until_it_ends: Callable[[], None]) -> None:
    until_it_ends()
    os._exit(1)


def _submit(pool: ProcessPoolExecutor, studies: list[Study]) -> dict[Future[Result], int]:
    # Ctrl-C goes to the whole group, and only the first process shall answer: the others begin
    # here and inherit that it is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {pool.submit(_run, study): at for at, study in reversed(list(enumerate(studies)))}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow(futures: dict[Future[Result], int], total: int) -> None:
    is_shown = sys.stderr.isatty()
    for done, future in enumerate(as_completed(futures), start=1):
        future.result()
        if is_shown:
            sys.stderr.write(f"\r{done}/{total} points")
            sys.stderr.flush()
    if is_shown:
        note("")
