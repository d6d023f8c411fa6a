"""What the words of `covey run` mean: a command, or a script and its project. Reads the script."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covey.cli.output import printable
from covey.errors import FileError, UsageError
from covey.model.errand import Errand

#: A larger script is none: send data ahead, and a small script that uses it.
SCRIPT_MAX_BYTES = 16 * 1024 * 1024
#: What distsys's `run SCRIPT PROJECT` called a project; a number or a path is an argument.
_PROJECT_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
#: Of a variable.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be run, and what the user is told of how it was understood ("" = nothing)."""

    errand: Errand
    #: What is typed again to run it again, without `covey run`.
    words: tuple[str, ...]
    note: str = ""

    @property
    def text(self) -> str:
        """The words for people."""
        first, *rest = self.words
        if first == "--" and len(rest) == 1:
            return f"-- {shlex.quote(rest[0])}"
        return shlex.join(self.words)


def read_order(
    before: Sequence[str],
    behind: Sequence[str] | None,
    *,
    project: str = "",
    env: Sequence[str] = (),
) -> Asked:
    """What to run.

    before: words before `--`: a script and its arguments. behind: words behind it: one is a line
    for the shell, several are a program and its arguments.

    Raises:
        UsageError: nothing is named, or it cannot be understood.
        FileError: the script cannot be read.
    """
    if project:
        check_project(project)
    if before:
        return _script(before, behind, project, _given(env))
    if not behind:
        raise UsageError("say what to run — for example: covey run -- uptime")
    words = [os.fsencode(word) for word in behind]
    if len(words) == 1:
        errand = Errand(line=words[0], project=project, env=_given(env))
        if not words[0].strip():
            raise UsageError("the command is empty — for example: covey run -- uptime")
    else:
        errand = Errand(argv=tuple(words), project=project, env=_given(env))
    return Asked(errand, ("--", *behind))


def check_project(project: str) -> None:
    """A project is the name of a directory.

    Raises:
        UsageError: it cannot be one.
    """
    if project in (".", "..") or project.startswith("-") or re.search(r"[/\0\n]", project):
        raise UsageError(f"{printable(project)!r} cannot be a project: it names a directory")


def _script(
    before: Sequence[str], behind: Sequence[str] | None, project: str, env: dict[str, str]
) -> Asked:
    path, *arguments = before
    if behind is not None:
        arguments += ["--", *behind]
    note = ""
    if not project and len(arguments) == 1 and _is_project(arguments[0]):
        project = arguments[0]
        note = f"project {project}: the only word behind the script (--project names another)"
    data = _read(path)
    name = os.path.basename(path)
    project = project or Path(name).stem
    check_project(project)
    errand = Errand(
        argv=tuple(os.fsencode(word) for word in arguments),
        script_name=os.fsencode(name),
        script=data,
        project=project,
        env=env,
    )
    return Asked(errand, tuple(before if behind is None else [*before, "--", *behind]), note)


def _is_project(word: str) -> bool:
    return _PROJECT_WORD.match(word) is not None and not os.path.lexists(word)


def _read(path: str) -> bytes:
    try:
        if os.path.getsize(path) > SCRIPT_MAX_BYTES:
            raise FileError(
                f"{printable(path)} is larger than {SCRIPT_MAX_BYTES:,} bytes: no script is",
                path=path,
            )
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no script {printable(path)} here"
            f" — a command stands behind --: covey run -- {shlex.quote(printable(path))}"
        ) from error
    except OSError as error:
        raise FileError(f"{printable(path)}: {error.strerror}", path=path) from error
    return data


def _given(words: Sequence[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not _NAME.match(name):
            raise UsageError(f"--env {printable(word)}: give NAME or NAME=VALUE")
        if not equals and name not in os.environ:
            raise UsageError(f"--env {printable(word)}: there is no such variable here")
        env[name] = value if equals else os.environ[name]
    return env
