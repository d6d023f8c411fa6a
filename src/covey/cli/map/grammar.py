"""The command line of `covey map`, in GNU parallel's grammar. Pure: no I/O.

    covey map [OPTION…] [COMMAND [WORD…]] [::: ITEM… | :::+ ITEM… | :::: FILE… | ::::+ FILE…]…

Options come before the command; the first word that is none begins it. Short options may be
clustered, and carry their value in the same word or the next (`-kj4`, `-j 4`). Options of GNU
parallel that covey map does not have are refused by name.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from covey.cli.map import values as read
from covey.cli.map.options import ELSEWHERE, FLAGS, REFUSED, REPEATED, VALUES
from covey.cli.map.plan import MapPlan, Source
from covey.cli.near import unknown_option
from covey.errors import UsageError
from covey.model.knobs import check_knobs, policy_named, probe_ratio_of

#: What begins an input source -> (it names files, it is linked to the source before).
SEPARATORS = {
    ":::": (False, False),
    ":::+": (False, True),
    "::::": (True, False),
    "::::+": (True, True),
}
_REPLACED = re.compile(r"\{-?\d*[./#%]*\}")
_FIELDS = frozenset(field.name for field in fields(MapPlan))


def parse_map(argv: Sequence[str]) -> MapPlan:
    """Reads the words after `covey map`.

    Raises:
        UsageError: one sentence, with what to type instead (exit status 255).
    """
    options, at = _options(argv)
    command, at = _command(argv, at)
    values = _convert(options)
    from_options = tuple(Source("file", (os.fsencode(name),)) for name in options["arg_file"])
    plan = MapPlan(command=command, sources=from_options + _sources(argv, at), **values)
    if not plan.help:
        _check(plan)
    return plan


def _options(argv: Sequence[str]) -> tuple[dict[str, Any], int]:
    """What stands before the command, by field, and where the command begins."""
    found: dict[str, Any] = {name: [] for name in REPEATED}
    at = 0
    while at < len(argv):
        word = argv[at]
        if word in SEPARATORS or not word.startswith("-") or word == "-":
            break
        at += 1
        if word == "--":
            break
        if word.startswith("--"):
            at = _long(found, word, argv, at)
        else:
            at = _cluster(found, word, argv, at)
    return found, at


def _long(found: dict[str, Any], word: str, argv: Sequence[str], at: int) -> int:
    name, equals, value = word.partition("=")
    if name in FLAGS:
        if equals:
            raise UsageError(f"{name} takes no value")
        found[FLAGS[name]] = (name, True)
        return at
    if name not in VALUES:
        raise _unknown(name)
    if not equals:
        value, at = _next_word(name, argv, at)
    _store(found, name, value)
    return at


def _cluster(found: dict[str, Any], word: str, argv: Sequence[str], at: int) -> int:
    for position, letter in enumerate(word[1:], 2):
        name = "-" + letter
        if name in FLAGS:
            found[FLAGS[name]] = (name, True)
            continue
        if name not in VALUES:
            raise _unknown(name)
        value = word[position:]
        if not value:
            value, at = _next_word(name, argv, at)
        _store(found, name, value)
        break
    return at


def _next_word(name: str, argv: Sequence[str], at: int) -> tuple[str, int]:
    if at >= len(argv):
        raise UsageError(f"{name} needs a value — see: covey map --help")
    return argv[at], at + 1


def _store(found: dict[str, Any], name: str, value: str) -> None:
    field = VALUES[name]
    if field in REPEATED:
        found[field].append(value)
    else:
        found[field] = (name, value)


def _unknown(name: str) -> UsageError:
    if advice := REFUSED.get(name):
        return UsageError(
            f"{name} is an option of GNU parallel that covey map does not have — {advice}"
        )
    if advice := ELSEWHERE.get(name):
        return UsageError(f"covey map has no {name} — {advice}")
    if not name.startswith("--"):
        # Of one letter, nothing is near.
        return UsageError(unknown_option(name, (), "covey map"))
    known = [*FLAGS, *VALUES]
    is_begun = any(other.startswith(name) for other in known)
    if not is_begun and (refused := [other for other in REFUSED if other.startswith(name)]):
        return _unknown(refused[0])
    return UsageError(unknown_option(name, known, "covey map"))


def _command(argv: Sequence[str], at: int) -> tuple[tuple[bytes, ...], int]:
    first = at
    while at < len(argv) and argv[at] not in SEPARATORS:
        at += 1
    return tuple(os.fsencode(word) for word in argv[first:at]), at


def _sources(argv: Sequence[str], at: int) -> tuple[Source, ...]:
    sources: list[Source] = []
    while at < len(argv):
        names_files, linked = SEPARATORS[argv[at]]
        separator = argv[at]
        at += 1
        first = at
        while at < len(argv) and argv[at] not in SEPARATORS:
            at += 1
        words = tuple(os.fsencode(word) for word in argv[first:at])
        if not names_files:
            sources.append(Source("values", words, linked))
            continue
        if not words:
            raise UsageError(f"{separator} needs a file — give one, or - for standard input")
        sources += [Source("file", (word,), linked) for word in words]
    return tuple(sources)


def _string(option: str, text: str) -> str:
    if not text:
        raise UsageError(f"{option} needs a value")
    return text


def _joblog(option: str, text: str) -> tuple[str, bool]:
    path = _string(option, text.removeprefix("+"))
    return path, text.startswith("+")


def _header(option: str, text: str) -> bool:
    if text != ":":
        raise UsageError(f"{option} {text}: covey map knows --header : only (the first line)")
    return True


_READERS: dict[str, tuple[tuple[str, ...], Callable[[str, str], Any]]] = {
    "jobs": (("jobs",), read.read_relative),
    "joblog": (("joblog", "joblog_appends"), _joblog),
    "retries": (("retries",), partial(read.read_count, least=0)),
    "on_lost": (("on_lost",), read.read_on_lost),
    "timeout": (("timeout_s", "timeout_medians"), read.read_timeout),
    "halt": (("halt",), read.read_halt),
    "results": (("results",), _string),
    "colsep": (("colsep",), read.read_pattern),
    "header": (("header",), _header),
    "delay": (("delay_s",), read.read_seconds),
    "max_replace_args": (("max_replace_args",), partial(read.read_count, least=0, unit=True)),
    "max_args": (("max_args",), partial(read.read_count, least=0, unit=True)),
    "block": (("block_bytes",), read.read_size),
    "replacement": (("replacement",), lambda option, text: os.fsencode(_string(option, text))),
    "workdir": (("workdir",), _string),
    "nice": (("nice",), read.read_nice),
    "memfree": (("memfree_bytes",), read.read_size),
    "load": (("load",), read.read_load),
    "cluster": (("cluster",), _string),
    "head": (("head",), _string),
    "name": (("name",), _string),
    "nats_server": (("nats_server",), _string),
    "limit": (("limit",), _string),
    "policy": (("policy",), lambda _, text: policy_named(text)),
    "probe_ratio": (("probe_ratio",), lambda _, text: probe_ratio_of(text)),
    "priority": (("priority",), read.read_priority),
    "user": (("user",), read.read_user),
}


def _convert(options: dict[str, Any]) -> dict[str, Any]:
    """Texts of values to values of `MapPlan`, by field."""
    env = [name for text in options["env"] for name in read.read_env("--env", text)]
    values: dict[str, Any] = {"env": tuple(env)}
    values |= {key: tuple(options[key]) for key in ("sshlogin", "hosts_file")}
    values["label"] = read.read_labels("--label", options["label"])
    values["avoid"] = read.read_labels("--avoid", options["avoid"], are_machines=True)
    for key, given in options.items():
        if key in REPEATED:
            continue
        option, text = given
        if key not in _READERS:
            values[key] = text
            continue
        names, reader = _READERS[key]
        result = reader(option, text)
        values |= zip(names, result if len(names) > 1 else (result,), strict=True)
    assert set(values) <= _FIELDS
    return values


def _check(plan: MapPlan) -> None:
    files = [source.values for source in plan.sources if source.kind == "file"]
    resumes = plan.resume or plan.resume_failed
    reshapes = plan.context or plan.xargs or plan.colsep or plan.link or plan.header
    wrong = {
        "--resume and --resume-failed need --joblog FILE or --results DIR": (
            resumes and plan.joblog is None and plan.results is None
        ),
        "--resume-failed needs --joblog FILE": plan.resume_failed and plan.joblog is None,
        "--retry-failed needs --joblog FILE": plan.retry_failed and plan.joblog is None,
        "--shuf gives the items other numbers each time, so --resume cannot go on from them": (
            plan.shuf and resumes
        ),
        "--pipe takes its records from standard input or -a FILE, not from :::": (
            plan.pipe and len(files) < len(plan.sources)
        ),
        "--pipe takes lines as they are: leave out -X, -m, --colsep, --header and --link": (
            plan.pipe and reshapes
        ),
        "--pipe needs a command to pipe into": plan.pipe and not plan.command,
        ":::+ and ::::+ link to the source before them — begin with ::: or ::::": (
            plan.sources and plan.sources[0].linked
        ),
        "standard input can be only one of the input files (-)": files.count((b"-",)) > 1,
        "--wd is one directory for all tasks: write  cd {} && …  into the command instead": (
            plan.workdir is not None and _REPLACED.search(plan.workdir)
        ),
        "--cancellation or --no-cancellation, not both": (
            plan.cancellation and plan.no_cancellation
        ),
        "--here means this machine alone: leave out --cluster, -S, -H and --limit": (
            plan.here and (plan.cluster or plan.names_machines)
        ),
    }
    for sentence, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(sentence)
    check_knobs(
        plan.policy,
        has_ratio=plan.probe_ratio is not None,
        has_cancellation=plan.cancellation or plan.no_cancellation,
    )
