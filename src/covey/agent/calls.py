"""Runs callables in a slot child.

Whatever a call raises is its failure, SystemExit and KeyboardInterrupt included (as in
`concurrent.futures`); it travels with its traceback, and as itself where it survives pickling.
"""

import importlib
import math
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, cast

import cloudpickle

from covey.agent.capture import Capture
from covey.agent.elsewhere import ProgramModules, check_python, this_python
from covey.agent.frames import Work
from covey.agent.outbox import Outbox
from covey.errors import CoveyError, ResultTooLarge, Unpicklable
from covey.model.context import CALL_TAG, TURN_S, TURN_TAG, CallContext
from covey.model.report import VALUE_TAG, Report, decode_report, encode_report
from covey.model.task import OutcomeState
from covey.settings import RESULT_MAX_BYTES

_SUCCEEDED = int(OutcomeState.SUCCEEDED)
_FAILED = int(OutcomeState.FAILED)
_CALL = CALL_TAG[0]
_TURN = TURN_TAG[0]
#: Longest message and traceback text of an exception that are sent.
_TEXT_MAX = 64 * 1024

Function = Callable[..., Any]


class Caller:
    """Calls the functions of one job, one after another."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        outbox.has_prints = True
        self._applied: CallContext | None = None
        self._env: dict[str, str] = {}
        self._modules = ProgramModules()
        #: The context, when the program runs another Python than we.
        self._foreign: CallContext | None = None

    def prepare(self, context: CallContext) -> Callable[[Work], None]:
        """Loads the function of a context: what runs its chunks.

        A function that cannot be loaded fails each of its tasks, and says why.
        """
        self._apply(context)
        try:
            check_python(context, context.function, "the function")
            function = cast("Function", pickle.loads(context.function))
        except BaseException as error:  # noqa: BLE001 - imports of the user run here
            self._leave_if_copy(error)
            return refuser(self._outbox, error)

        def run(work: Work) -> None:
            self._apply(context)
            if work.env != self._env:
                os.environ.update(work.env)
                self._env = work.env
            if work.has_capture:
                self._run_captured(function, work)
            else:
                self._run(function, work)

        return run

    def _run(self, function: Function, work: Work) -> None:
        outbox, monotonic = self._outbox, time.monotonic
        for number, payload in enumerate(work.payloads, 1):
            strike = outbox.mark(number, monotonic())
            if strike:
                outbox.add(strike, b"")
            else:
                outbox.add(*self._call(function, payload))

    def _run_captured(self, function: Function, work: Work) -> None:
        capture = Capture(work.capture_dir)
        try:
            for number, payload in enumerate(work.payloads, 1):
                strike = self._outbox.mark(number, time.monotonic())
                if strike:
                    self._outbox.add(strike, b"")
                    continue
                started = time.time()
                with capture.of_this_process(self._outbox.page):
                    state, data = self._call(function, payload)
                report = decode_report(data)
                report.started, report.ended, report.slot = started, time.time(), work.slot
                capture.take(report, work.output_max_bytes)
                self._outbox.add(state, encode_report(report))
        finally:
            capture.close()

    def _call(self, function: Function, payload: bytes | memoryview) -> tuple[int, bytes]:
        """One task: its state and its report."""
        try:
            if self._foreign is not None:
                check_python(self._foreign, payload, "an argument")
            if payload[0] != _CALL:
                is_turn = payload[0] == _TURN
                return self._call_many(function, pickle.loads(payload[1:]), is_turn=is_turn)
            args, kwargs = pickle.loads(payload[1:])
            value = function(*args, **kwargs)
            return _SUCCEEDED, _pack_value(value)
        except BaseException as error:  # noqa: BLE001 - the failure of the task, whatever it is
            self._leave_if_copy(error)
            # The first entry is this very function.
            trace = error.__traceback__
            return _FAILED, _failure(error, trace and trace.tb_next)

    def _call_many(
        self, function: Function, batch: list[tuple[Any, ...]], *, is_turn: bool
    ) -> tuple[int, bytes]:
        values: list[Any] = []
        monotonic = time.monotonic
        started = monotonic()
        until = started + (TURN_S if is_turn else math.inf)
        try:
            for args in batch:
                values.append(function(*args))
                if monotonic() >= until:
                    break
        except BaseException as error:  # noqa: BLE001 - the failure of the task, whatever it is
            self._leave_if_copy(error)
            trace = error.__traceback__
            return _FAILED, _failure(error, trace and trace.tb_next, _pack_value(values)[1:])
        took_s = monotonic() - started
        return _SUCCEEDED, _pack_value((values, took_s) if is_turn else values)

    def _leave_if_copy(self, error: BaseException) -> None:
        """A process that user code forked and that came back here ends as it would elsewhere."""
        if not self._outbox.is_copy:
            return
        code = error.code if isinstance(error, SystemExit) else 1
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    def _apply(self, context: CallContext) -> None:
        """Makes the interpreter what the context expects."""
        if self._applied is context:
            return
        self._applied = context
        if context.env:
            os.environ.clear()
            os.environ.update(context.env)
        self._env = {}
        sys.path[:] = context.sys_path or sys.path
        sys.argv[:] = context.argv or [context.main_path]
        # Ours is no business of the user's; theirs travels by value and is never run again.
        main = ModuleType("__main__")
        if context.main_path:
            main.__file__ = context.main_path
        sys.modules["__main__"] = main
        if context.cwd:
            try:
                os.chdir(context.cwd)
            except OSError as error:
                print(f"covey: cannot enter {context.cwd}: {error.strerror}", file=sys.stderr)  # noqa: T201
        self._foreign = context if context.python not in ("", this_python()) else None
        self._modules.replace(context.modules)
        if context.authkey:
            process = importlib.import_module("multiprocessing.process")
            process.current_process().authkey = context.authkey
        importlib.invalidate_caches()


def refuser(outbox: Outbox, error: BaseException) -> Callable[[Work], None]:
    """What fails every task of a chunk with this error."""
    report = _failure(error, error.__traceback__)

    def refuse(work: Work) -> None:
        for number in range(1, len(work.ids) + 1):
            strike = outbox.mark(number, time.monotonic())
            outbox.add(strike or _FAILED, b"" if strike else report)

    return refuse


def _pack_value(value: object) -> bytes:
    """The report of a value.

    Raises:
        Unpicklable: it cannot be sent.
        ResultTooLarge: it is larger than covey carries.
    """
    try:
        data = VALUE_TAG + pickle.dumps(value, 5)
    except Exception as plain:  # noqa: BLE001 - any __reduce__ may raise anything
        try:
            data = VALUE_TAG + _by_value(value)
        except Exception:  # noqa: BLE001
            kind = type(value).__name__
            text = f"the result (a {kind}) cannot be pickled: {plain}. Return plain data instead"
            raise Unpicklable(text, what="result") from plain
    if len(data) > RESULT_MAX_BYTES:
        raise ResultTooLarge(
            f"the result is {len(data):,} bytes, over the limit of {RESULT_MAX_BYTES:,}. "
            "Write it to a file and return its path",
            size_bytes=len(data),
            max_bytes=RESULT_MAX_BYTES,
        )
    return data


def _failure(error: BaseException, trace: TracebackType | None, value: bytes = b"") -> bytes:
    """The report of what a call raised."""
    text = _text_of(error)
    try:
        if isinstance(error, CoveyError) and not trace:
            lines = text
        else:
            lines = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as fault:  # noqa: BLE001 - of a __str__ or __notes__ of the user
        lines = f"{type(error).__name__} (its traceback cannot be shown: {fault!r})"
    report = Report(
        exit=1,
        ended=time.time(),
        value=value,
        error=(type(error).__qualname__, text[:_TEXT_MAX], lines[-_TEXT_MAX:]),
        error_pickle=_pack_error(error),
    )
    return encode_report(report)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - of a __str__ of the user
        return f"(its text cannot be shown: {fault!r})"


def _pack_error(error: BaseException) -> bytes:
    """The exception as itself, or b"" where it would not survive the journey."""
    try:
        try:
            data = pickle.dumps(error, 5)
        except Exception:  # noqa: BLE001
            data = _by_value(error)
        # Many exceptions pickle well and cannot be made again (required arguments): try it here.
        if isinstance(pickle.loads(data), type(error)) and len(data) <= RESULT_MAX_BYTES:
            return data
    except Exception:  # noqa: BLE001
        pass
    return b""


def _by_value(value: object) -> bytes:
    return cloudpickle.dumps(value, 5)  # pyright: ignore
