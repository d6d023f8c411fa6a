"""A process that owns a private run, as `covey map` does: it lets go of it at Ctrl-C.

python private_owner.py STATE_DIR [stubborn]; prints the job's number when the run is there.
"""

import signal
import sys
from pathlib import Path

from covey.model.job import JobSpec, JobState
from covey.model.pack import pack
from covey.model.report import Report
from covey.model.task import OutcomeState
from covey.scheduler.ledger import Ledger
from covey.scheduler.records import Items, JobSealed, NewJob, Outcomes
from covey.scheduler.runs import RunDir
from covey.wire.codec import spec_to_wire


def main() -> None:
    state_dir = Path(sys.argv[1])
    if sys.argv[2:] == ["stubborn"]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = RunDir.create(state_dir)
    ledger = Ledger.open(run.ledger_path, post=lambda call: call())
    body = pack(spec_to_wire(JobSpec(client={"command": "sleep {}"})))
    report = Report(started=1.0, ended=2.0, out=b"done\n", out_size=5)
    items = [pack([[b"%d" % i], None]) for i in range(3)]
    ledger.write(
        [
            NewJob(run.number, f"key-{run.number}", body, JobState.RUNNING, 1.0),
            Items(run.number, 1, items),
            JobSealed(run.number, 3),
            Outcomes(run.number, 1, [2], [1], [OutcomeState.SUCCEEDED], "here", [report], 2.0),
        ]
    )
    ledger.close()
    print(run.number, flush=True)  # noqa: T201
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        run.close()


if __name__ == "__main__":
    main()
