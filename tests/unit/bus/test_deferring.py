"""What of nats-py is not executed until somebody looks at it."""

import subprocess
import sys

from covey.testing.waiting import COMMAND_MAX_S


def _printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_bus_comes_without_jetstream():
    program = "import sys, covey.bus.nats; print('nats.js.api' in sys.modules)"
    assert _printed(program) == "False"


def test_whoever_wants_jetstream_gets_it():
    program = (
        "import covey.bus.nats, nats; from nats.js.api import Header;"
        " print(nats.js.JetStreamContext.__name__, Header.STATUS.value)"
    )
    assert _printed(program) == "JetStreamContext Status"


def test_a_program_that_has_it_already_keeps_it():
    program = "import nats; kept = nats.js; import covey.bus.nats; print(kept is nats.js)"
    assert _printed(program) == "True"
