"""What the verbs on a machine are told, what they answer, and where things lie there.

    ~/.cache/covey/<cluster>/covey-<digest>.pyz        the archive
                             home                      which home this is, for all who share it
                             made                      directories that were not there before us
                             <agent>/agent.json        the agent: process, runtime directory
                             <agent>/agent.log         its log, with a quota
                             <agent>/command           runs the verbs: sh command stop
                             <agent>/noted             what tasks wrote where (`agent.outputs`)
                             <agent>/packages-<digest> an environment with the user's packages
    /tmp/covey-<uid>/<incarnation>/                    runtime directory: sockets, captures, lock

An order comes as one JSON line on standard input, since it may hold keys. The answer is one line
after a mark: what start-up files of a shell print before it is skipped.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from covey.agent.outputs import Held

#: Begins the line of the answer.
ANSWER_MARK = "covey-answer: "
#: An agent that has not met its bus for so long ends by itself, unless it is persistent.
WITHOUT_BUS_MAX_S = 24 * 3600.0

#: Options of the Python that runs a verb: what is installed there is not looked for.
VERB_OPTIONS = ("-S", "-P")
#: The agent's log, in its directory.
LOG = "agent.log"
#: What `command` answers when it has nothing to run.
ARCHIVE_GONE = "the archive that its agent runs from is gone"

#: started: it was. running: it ran already, from the same archive, with the same key. outdated: it
#: runs from another archive, or would not come back after a reboot, and was left alone. absent:
#: there is none. stopped, purged, listed: as asked. failed: see `Answer.problem`.
State = Literal["started", "running", "outdated", "absent", "stopped", "purged", "listed", "failed"]
STATES: tuple[str, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class MachineOrder:
    """Which agent to start on this machine."""

    cluster: str
    #: The name under which the cluster's subjects lie (`ClusterFiles.space`).
    space: str
    agent: str
    #: HMAC key in hex.
    key: str = field(repr=False)
    #: Credential at the bus.
    user: str
    password: str = field(repr=False)
    #: PEM of the head's authority ("" = it has none: then only forwarded sockets are used).
    ca: str = ""
    #: "" = over sockets that ssh forwards into the runtime directory; else where the bus is.
    bus_url: str = ""
    #: As `--slots` takes it.
    slots: str = ""
    #: Where tasks work, `~` is the home; "" = the home, or `~/covey/<agent>` if that is shared.
    workdir: str = ""
    is_home_shared: bool = False
    #: What pip installs for the tasks.
    packages: tuple[str, ...] = ()
    is_persistent: bool = False
    without_bus_s: float = WITHOUT_BUS_MAX_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb answers. Fields that do not apply are empty."""

    state: State
    agent: str = ""
    pid: int = 0
    incarnation: str = ""
    #: Where `bus-<n>.sock` is to be forwarded to.
    runtime_dir: str = ""
    #: The highest n that was used there; the next tunnel takes a higher one. 0 = none was.
    bus_number: int = 0
    #: Name of the archive from which it runs.
    archive: str = ""
    version: str = ""
    python: str = ""
    slots: int = 0
    slots_from: str = ""
    workdir: str = ""
    is_persistent: bool = False
    #: What the user should know: where something is because the home is on a network, …
    notes: tuple[str, ...] = ()
    #: Of an `absent` one: the last line of its log.
    said: str = ""
    #: Of `held`: what tasks wrote there; of `erase`: what was removed of it.
    held: tuple[Held, ...] = ()
    #: What could not be done, as a sentence ("" = all was), and what to do about it.
    problem: str = ""
    remedy: str = ""


def order_line(order: MachineOrder) -> bytes:
    """The line that says it."""
    return json.dumps(asdict(order)).encode() + b"\n"


def read_order(line: bytes) -> MachineOrder:
    """The order in a line.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    plain: dict[str, Any] = json.loads(line)
    plain["packages"] = tuple(plain["packages"])
    return MachineOrder(**plain)


def answer_line(answer: Answer) -> str:
    """The line that says it."""
    return ANSWER_MARK + json.dumps(asdict(answer))


def read_answer(output: bytes) -> Answer | None:
    """The answer in what a verb printed; None: there is none."""
    plain = marked_json(output)
    if plain is None or plain.get("state") not in STATES:
        return None
    plain["notes"] = tuple(plain.get("notes", ()))
    plain["held"] = tuple(Held(**one) for one in plain.get("held", ()))
    return Answer(**known(plain, Answer))


def known(plain: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """What this version knows of an object that another one may have written."""
    names = {one.name for one in fields(kind)}
    return {key: value for key, value in plain.items() if key in names}


def marked_json(output: bytes) -> dict[str, Any] | None:
    """The object in the last marked line of an output, whatever else is in it."""
    mark = ANSWER_MARK.encode()
    for line in reversed(output.splitlines()):
        at = line.find(mark)
        if at < 0:
            continue
        try:
            plain: object = json.loads(line[at + len(mark) :])
        except ValueError:
            return None
        return cast("dict[str, Any]", plain) if isinstance(plain, dict) else None
    return None


def cache_of(cluster: str, home: Path | None = None) -> Path:
    """The directory of a cluster on this machine."""
    return (home or Path.home()) / ".cache" / "covey" / cluster
