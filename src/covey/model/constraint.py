"""Which machines a shape allows, by their names and labels, whatever state they are in. Pure.

The one place where this is decided: the scheduler asks it of its agents, whoever accepts a job asks
it of all machines of the cluster, so that what no machine can ever run is said at once.
"""

import difflib
from collections.abc import Collection, Iterable

from covey.model.job import Shape

#: Machines and labels that a refusal names, at most.
NAMED_MAX = 5


def fits(terms: Shape, name: str, labels: Collection[str]) -> bool:
    """Whether tasks of this shape may run on the machine of this name."""
    if terms.machines and name not in terms.machines:
        return False
    if terms.labels and not all(label in labels for label in terms.labels):
        return False
    return not any(_means(word, name, labels) for word in terms.avoid)


def unmet(terms: Shape, machines: Iterable[tuple[str, Collection[str]]]) -> str:
    """Why no machine of these (name, labels) may ever run the shape; "" = one may."""
    known = [(name, tuple(labels)) for name, labels in machines]
    if any(fits(terms, name, labels) for name, labels in known):
        return ""
    names = [name for name, _ in known]
    if not names:
        return "the cluster has no machines: add some with covey up HOST…"
    if terms.machines and not any(name in terms.machines for name in names):
        return f"there is no machine {_any_of(terms.machines)}{_near(terms.machines[0], names)}"
    every = sorted({label for _, labels in known for label in labels})
    for label in terms.labels:
        if label not in every:
            return f"no machine has the label {label}{_near(label, every)}"
    rest = [name for name in terms.machines if name in names] or names
    parts = [f"has the label{'s' * (len(terms.labels) > 1)} {' and '.join(terms.labels)}"]
    parts = parts if terms.labels else []
    if terms.machines:
        parts.append(f"is {_any_of(terms.machines)}")
    if terms.avoid:
        parts.append(f"is not {_any_of(terms.avoid)}")
    return f"no machine of {_listed(rest)} {' and '.join(parts)}"


def unknown(terms: Shape, machines: Iterable[tuple[str, Collection[str]]]) -> str:
    """Which name that the shape says is no machine, or label, of these (name, labels); "" = none.

    Other machines may meet the shape: who misspelt a name does not see it from that.
    """
    known = [(name, tuple(labels)) for name, labels in machines]
    names = [name for name, _ in known]
    every = sorted({label for _, labels in known for label in labels})
    for word in terms.machines:
        if word not in names:
            return f"there is no machine {word}{_near(word, names)}"
    for word in terms.avoid:
        label = word.removeprefix("@")
        if word != label and label not in every:
            return f"to avoid: no machine has the label {label}{_near(label, every)}"
        if word == label and word not in names:
            return f"to avoid: there is no machine {word}{_near(word, names)}"
    return ""


def _means(word: str, name: str, labels: Collection[str]) -> bool:
    return word[1:] in labels if word.startswith("@") else word == name


def _any_of(words: Iterable[str]) -> str:
    return " or ".join(words)


def _near(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    if near:
        return f": did you mean {near[0]}?"
    return f"; there is {_listed(known)}" if known else "; there is none"


def _listed(names: list[str]) -> str:
    more = " …" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
