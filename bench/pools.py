"""Covey's executor and its peers behind one face: run n no-ops, map n no-ops, run one and wait.

Each is a context manager, so that starting and stopping stay outside of what is measured.
"""

import concurrent.futures
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Slots of every peer: what the budgets were set for.
SLOTS = 2
#: Longest that a peer may need to be ready.
READY_LIMIT_S = 60.0


def no_op(value: Any = None) -> Any:
    """The task."""
    return value


def no_op_as_source(value):
    """The task for dispy, which sends the source of a function: without names it would not know."""
    return value


@dataclass(frozen=True)
class Pool:
    """What can be measured; `map` is None where a peer has no such thing."""

    submit_many: Callable[[int], None]
    one: Callable[[], None]
    map_many: Callable[[int], None] | None = None


def _of_executor(executor: concurrent.futures.Executor) -> Pool:
    def submit_many(n: int) -> None:
        futures = [executor.submit(no_op) for _ in range(n)]
        for future in futures:
            future.result()

    def map_many(n: int) -> None:
        assert sum(1 for _ in executor.map(no_op, range(n))) == n

    pool = Pool(submit_many, lambda: executor.submit(no_op).result(), map_many)
    pool.submit_many(SLOTS * 8)
    return pool


@contextlib.contextmanager
def covey() -> Iterator[Pool]:
    """covey.Executor, private to the call."""
    import covey as package

    with package.Executor(max_workers=SLOTS, local=True) as executor:
        yield _of_executor(executor)


@contextlib.contextmanager
def processes() -> Iterator[Pool]:
    """concurrent.futures.ProcessPoolExecutor of this Python."""
    with concurrent.futures.ProcessPoolExecutor(max_workers=SLOTS) as executor:
        yield _of_executor(executor)


@contextlib.contextmanager
def loky() -> Iterator[Pool]:
    """loky.ProcessPoolExecutor."""
    import loky as package

    with package.ProcessPoolExecutor(max_workers=SLOTS) as executor:
        yield _of_executor(executor)


@contextlib.contextmanager
def dask() -> Iterator[Pool]:
    """dask.distributed: a local cluster of two processes with one thread each."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=SLOTS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def submit_many(n: int) -> None:
            client.gather([client.submit(no_op, pure=False) for _ in range(n)])

        def map_many(n: int) -> None:
            client.gather(client.map(no_op, range(n), pure=False))

        submit_many(SLOTS * 8)
        yield Pool(submit_many, lambda: client.submit(no_op, pure=False).result(), map_many)


@contextlib.contextmanager
def ray() -> Iterator[Pool]:
    """Ray with two CPUs."""
    import ray as package

    package.init(
        num_cpus=SLOTS, include_dashboard=False, logging_level="ERROR", log_to_driver=False
    )
    remote = package.remote(no_op)

    def submit_many(n: int) -> None:
        package.get([remote.remote() for _ in range(n)])

    def one() -> None:
        package.get(remote.remote())

    submit_many(SLOTS * 8)
    try:
        yield Pool(submit_many, one, submit_many)
    finally:
        package.shutdown()


@contextlib.contextmanager
def dispy() -> Iterator[Pool]:
    """dispy with one node of two CPUs on the loopback."""
    import dispy as package

    script = Path(sys.executable).parent / "dispynode.py"
    node = subprocess.Popen(
        [
            sys.executable,
            str(script),
            "-c",
            str(SLOTS),
            "--daemon",
            "--host",
            "127.0.0.1",
            "--clean",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cluster = None
    try:
        cluster = package.JobCluster(
            no_op_as_source, nodes=["127.0.0.1"], host="127.0.0.1", loglevel=package.logger.ERROR
        )

        def submit_many(n: int) -> None:
            for job in [cluster.submit(None) for _ in range(n)]:
                job()

        until = time.monotonic() + READY_LIMIT_S
        first = cluster.submit(None)
        while first.status != package.DispyJob.Finished:
            if time.monotonic() > until:
                raise TimeoutError("the node of dispy did not run a first job")
            time.sleep(0.1)
        submit_many(SLOTS * 8)
        yield Pool(submit_many, lambda: cluster.submit(None)())
    finally:
        if cluster is not None:
            cluster.close(timeout=5, terminate=True)
        node.terminate()
        node.wait()


POOLS = {
    "covey": covey,
    "ProcessPoolExecutor": processes,
    "loky": loky,
    "Ray": ray,
    "Dask": dask,
    "dispy": dispy,
}
