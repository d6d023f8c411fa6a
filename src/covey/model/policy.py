"""The names of placement policies, as users give them and simulations print them.

Sources: Ousterhout et al., *Sparrow: Distributed, Low Latency Scheduling*, SOSP'13, §3, for the
four classic ones; join shortest queue (JSQ) is the textbook reference that asks everybody.
"""

from difflib import get_close_matches

from covey.errors import UsageError

RANDOM = "RANDOM"
CHOOSE_TWO = "CHOOSE_TWO"
BATCH = "BATCH"
LATE_BINDING = "BATCH+LATE_BINDING"
JSQ = "JSQ"
LEAST_LOADED = "LEAST_LOADED"
OMNISCIENT = "OMNISCIENT"
WORK_STEALING = "WORK_STEALING"

#: What a scheduler can be told.
POLICIES = (RANDOM, CHOOSE_TWO, BATCH, LATE_BINDING, JSQ, LEAST_LOADED)
#: What needs to know more than any scheduler can: only in the simulator.
SIMULATED_POLICIES = (*POLICIES, OMNISCIENT, WORK_STEALING)
DEFAULT_POLICY = LATE_BINDING
DEFAULT_PROBE_RATIO = 2.0


def policy_named(text: str, known: tuple[str, ...] = POLICIES) -> str:
    """The policy of this name; upper and lower case, `-` and `_` are alike.

    Raises:
        UsageError: there is none, or only the simulator has it.
    """
    name = text.strip().upper().replace("-", "_")
    if name in known:
        return name
    if name in SIMULATED_POLICIES:
        raise UsageError(f"policy {name} exists only in the simulator: covey sim --policy {name}")
    near = get_close_matches(name, known, 1, 0.4)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"no policy {text!r}: {meant}There are {', '.join(known)}")
