"""Calls as bytes and back: functions, arguments, results, exceptions.

Plain pickle where it suffices (it is ten times faster); cloudpickle for what lives in `__main__`,
for lambdas and closures. Only the client that asked unpickles here.
"""

import os
import pickle
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import cloudpickle

from covey.agent.elsewhere import this_python
from covey.agent.here import this_computer
from covey.client.sources import program_modules
from covey.errors import TaskCrashed, TaskFailed, TaskLost, TaskTimeout, Unpicklable
from covey.model.context import CALL_TAG, CallContext, encode_context
from covey.model.report import VALUE_TAG, Report, decode_report, encode_report
from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow

#: Pickles that mention it are made again by value: the child's `__main__` is not ours.
_MAIN = b"__main__"


class RemoteTraceback(Exception):
    """The traceback of what a task raised, as text; the `__cause__` of the exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def context_of(function: Callable[..., Any], *, travels: bool = False) -> bytes:
    """The context that ships a function: its pickle, and where its modules are found.

    travels: it may run on other machines, so the modules of the program go along.

    Raises:
        Unpicklable: the function cannot be sent, or something that it closes over.
    """
    try:
        blob = _pickled_function(function)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise Unpicklable(
            f"the function {name} cannot be sent to another process: {error}", what=name
        ) from error
    main = sys.modules.get("__main__")
    cwd = _cwd()
    return encode_context(
        CallContext(
            function=blob,
            # The empty entry means the current directory, which is sent as such.
            sys_path=[str(path) or cwd for path in sys.path],
            cwd=cwd,
            argv=list(sys.argv),
            main_path=getattr(main, "__file__", None) or "",
            at=this_computer(),
            python=this_python(),
            modules=program_modules() if travels else {},
            # A secret, and of use only where the program is.
            authkey=b"" if travels else _authkey(),
        )
    )


def _pickled_function(function: Callable[..., Any]) -> bytes:
    if isinstance(function, FunctionType) and (
        function.__module__ == "__main__" or "<" in function.__qualname__
    ):
        return cloudpickle.dumps(function, 5)  # pyright: ignore
    return _pickled(function)


def _authkey() -> bytes:
    # Only a program that has loaded it can have a Manager, and children need not load it else.
    process = sys.modules.get("multiprocessing.process")
    return bytes(process.current_process().authkey) if process is not None else b""


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        # Somebody removed it under our feet: then tasks run where their process is.
        return ""


def call_payload(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """The payload of one call.

    Raises:
        Unpicklable: names the argument that cannot be sent.
    """
    try:
        return CALL_TAG + _pickled((args, kwargs))
    except Exception as error:
        named = [(f"argument {i + 1}", a) for i, a in enumerate(args)]
        named += [(f"argument {key}=", value) for key, value in kwargs.items()]
        raise _naming(named, error) from error


def map_payload(tag: bytes, calls: list[tuple[Any, ...]], first: int) -> bytes:
    """The payload of several calls; `first` is the number of the first one, for the error.

    tag: MAP_TAG or TURN_TAG.

    Raises:
        Unpicklable: names the item that cannot be sent.
    """
    try:
        return tag + _pickled(calls)
    except Exception as error:
        raise _naming([(f"item {first + i}", c) for i, c in enumerate(calls)], error) from error


def _pickled(value: Any) -> bytes:
    try:
        blob = pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - whatever it is, cloudpickle may know better
        return cloudpickle.dumps(value, 5)  # pyright: ignore
    return cloudpickle.dumps(value, 5) if _MAIN in blob else blob  # pyright: ignore


def _naming(named: list[tuple[str, Any]], error: Exception) -> Unpicklable:
    for name, value in named:
        try:
            _pickled(value)
        except Exception as why:  # noqa: BLE001 - as above
            kind = type(value).__name__
            return Unpicklable(
                f"{name} ({kind}) cannot be sent to another process: {why}", what=name
            )
    return Unpicklable(f"an argument cannot be sent to another process: {error}", what="arguments")


def result_of(report: bytes | None, state: int) -> tuple[Any, BaseException | None]:
    """(result, None) or (None, exception) of a task that ended with `state`.

    For a batch of calls that failed, `exception.results_before` holds the results before that.
    """
    if report is not None and report[:1] == VALUE_TAG:
        try:
            return pickle.loads(memoryview(report)[1:]), None
        except BaseException as error:  # noqa: BLE001 - unpickling runs user code
            return None, error
    return None, _exception_of(decode_report(report) if report else Report(), state)


def report_of(row: OutcomeRow) -> bytes:
    """The report of a call, made again out of what the ledger keeps of it."""
    if row.state is OutcomeState.SUCCEEDED:
        return VALUE_TAG + row.value
    error, pickled = row.error, row.error_pickle
    return encode_report(Report(value=row.value, error=error, error_pickle=pickled))


def results_before(report: bytes | None) -> list[Any]:
    """Of a batch of calls that failed: the results of the calls before that."""
    value = decode_report(report).value if report else b""
    try:
        return pickle.loads(value) if value else []
    except BaseException:  # noqa: BLE001 - unpickling runs user code; the failure is told anyway
        return []


def _exception_of(report: Report, state: int) -> BaseException:
    name, text, trace = report.error or ("", "", "")
    if state == OutcomeState.TIMED_OUT:
        return TaskTimeout(text or "")
    if state == OutcomeState.LOST:
        return TaskLost(text or "")
    if report.error_pickle:
        try:
            error = pickle.loads(report.error_pickle)
        except BaseException:  # noqa: BLE001 - unpickling runs user code
            error = None
        if isinstance(error, BaseException):
            error.__cause__ = RemoteTraceback(trace)
            return error
    if state == OutcomeState.FAILED:
        failure: BaseException = TaskFailed(f"{name}: {text}" if name else text, how=name)
        failure.__cause__ = RemoteTraceback(trace)
        return failure
    return TaskCrashed(text or "", how=text)
