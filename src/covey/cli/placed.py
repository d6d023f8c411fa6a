"""Where the tasks of a job may go, and before whom, in words. Pure."""

from covey.model.job import JobSpec
from covey.model.policy import AUTO, AUTO_RATIO, DEFAULT_PROBE_RATIO


def ratio_of(spec: JobSpec) -> float | str:
    """The probe ratio as `--probe-ratio` takes it."""
    return AUTO if spec.probe_ratio == AUTO_RATIO else spec.probe_ratio


def placement_of(spec: JobSpec) -> str:
    """`BATCH+LATE_BINDING, user alice, priority 5, label gpu, not on lab3`."""
    words = [spec.policy]
    if spec.probe_ratio != DEFAULT_PROBE_RATIO:
        words.append(f"probe ratio {ratio_of(spec)}")
    if not spec.has_cancellation:
        words.append("no cancellation")
    if spec.user:
        weight = f" (weight {spec.weight:g})" if spec.weight != 1 else ""
        words.append(f"user {spec.user}{weight}")
    # The shapes of one job differ in what their tasks are, rarely in where they may go.
    for shape in spec.shapes[:1]:
        if shape.priority:
            words.append(f"priority {shape.priority}")
        if shape.labels:
            words.append(f"label {' and '.join(shape.labels)}")
        if shape.machines:
            words.append(f"on {' or '.join(shape.machines)}")
        if shape.avoid:
            words.append(f"not on {' or '.join(shape.avoid)}")
        words += ["one at a time on each machine"] * shape.is_spread
        words += ["may preempt"] * shape.may_preempt
    return ", ".join(words)


def priority_of(spec: JobSpec) -> int:
    """The priority of its tasks; of several, the highest."""
    return max((shape.priority for shape in spec.shapes), default=0)


def placement_value(spec: JobSpec) -> dict[str, object]:
    """The same as JSON shows it."""
    shape = spec.shapes[0] if spec.shapes else None
    return {
        "policy": spec.policy,
        "probe_ratio": ratio_of(spec),
        "cancellation": spec.has_cancellation,
        "priority": priority_of(spec),
        "weight": spec.weight,
        "labels": list(shape.labels) if shape else [],
        "avoid": list(shape.avoid) if shape else [],
        "spread": bool(shape and shape.is_spread),
        "preempt": bool(shape and shape.may_preempt),
    }
