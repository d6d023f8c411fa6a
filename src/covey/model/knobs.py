"""What users say of a placement policy, read and checked. Not imported by agents."""

from difflib import get_close_matches

from covey.errors import UsageError
from covey.model.policy import (
    AUTO,
    AUTO_RATIO,
    BATCH,
    CHOOSE_TWO,
    LATE_BINDING,
    POLICIES,
    PROBE_RATIO_MAX,
    SIMULATED_POLICIES,
)

#: What asks some machines or reserves on some: only there a probe ratio means something.
_SAMPLING = (CHOOSE_TWO, BATCH, LATE_BINDING)


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


def probe_ratio_of(said: str | float) -> float:
    """The probe ratio d that is meant by `2`, `1.05` or `auto`, as a JobSpec has it.

    Raises:
        UsageError: it is none.
    """
    if isinstance(said, str) and said.strip().lower() == AUTO:
        return AUTO_RATIO
    try:
        ratio = float(said)
    except (TypeError, ValueError):
        ratio = -1.0
    if 1.0 <= ratio <= PROBE_RATIO_MAX:
        return ratio
    raise UsageError(
        f"probe ratio {said}: give a number from 1 to {PROBE_RATIO_MAX:g}, such as 2 or 1.05,"
        f" or {AUTO}"
    )


def check_knobs(policy: str, *, has_ratio: bool, has_cancellation: bool) -> None:
    """What was said besides the policy means something with it.

    Args:
        policy: its name.
        has_ratio: a probe ratio was given.
        has_cancellation: whether to cancel was given.

    Raises:
        UsageError: it means nothing.
    """
    if has_ratio and policy not in _SAMPLING:
        raise UsageError(
            f"{policy} takes no sample of machines, so it has no probe ratio: leave that out,"
            f" or choose one of {', '.join(_SAMPLING)}"
        )
    if has_cancellation and policy != LATE_BINDING:
        raise UsageError(
            f"{policy} leaves no reservations behind, so there is nothing to cancel: leave that"
            f" out, or choose {LATE_BINDING}"
        )
