"""The process in which a user's functions run: they may print, chdir, exit, hang or crash here and disturb nothing.

Run as a program by `function_process.py`. Reads requests and writes replies, a line of JSON each, over two pipes of its
own; descriptors 1 and 2 belong to the user's code. Standard library only, so that starting it is quick.

    {"load": "example.runner", "arguments": 2, "limit": s}        {} | {"refused": why, "traceback": text}
    {"prepare": [[runner_args, job_dict], …], "limit": s}         for each: {"command": {…}} | {"refused": …, "traceback": …}
    {"create": most rows, "limit": s}                             {"columns": […], "rows": [[…], …]} | {"refused": …}

Every reply also has "printed": the size of the file behind descriptor 1 after the call. A value in `rows` is null, true, false
or text. `limit` is in seconds per call: when it is over, the process writes where it hangs to that file and exits.
"""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

RETURN_A_COMMAND = (
    "It must return the command: what burnish.util.run_subprocess_job(...) returns, a list of arguments, "
    "or burnish.Command(argv)."
)
RETURN_JOBS = "It must return the jobs: a dict of equally long lists, a list of dicts, or an iterator of dicts."


class Refused(Exception):
    """A sentence about what the user's function did."""


def main(requests_fd: int, replies_fd: int, folder: str) -> None:
    """Serve until the other end closes its pipe. User's modules are looked for in `folder` first."""
    for fd in (requests_fd, replies_fd):
        os.set_inheritable(fd, False)
    sys.path.insert(0, folder)
    sys.argv = ["burnish"]
    requests, replies = os.fdopen(requests_fd, "rb"), os.fdopen(replies_fd, "wb")
    printed = os.dup(1)  # whatever the user's code does to descriptor 1
    served = Served(folder, printed)
    me = os.getpid()
    for line in requests:
        for reply in served.replies(json.loads(line)):
            if os.getpid() != me:
                os._exit(1)  # the user's function forked and both came back
            reply["printed"] = os.fstat(printed).st_size
            replies.write(json.dumps(reply).encode() + b"\n")
            replies.flush()


class Served:
    """The user's function, called under a limit, with the surroundings put back after each call."""

    def __init__(self, folder: str, printed: int) -> None:
        self._folder = folder
        # The mapping below os.environ: to compare it costs 1 us a call, to decode all of os.environ 30.
        self._variables = vars(os.environ)["_data"]
        self._variables_at_first = dict(self._variables)
        # At the end of a limit: write where it hangs, then let SIGALRM end the process.
        faulthandler.register(signal.SIGALRM, file=printed, chain=True)
        self._name = ""
        self._advice = ""
        self._function: Callable[..., Any] = lambda: None

    def replies(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        limit = request["limit"]
        if "load" in request:
            yield self._guarded(limit, lambda: self._load(request["load"], request["arguments"]))
        elif "create" in request:
            yield self._guarded(limit, lambda: self._create(request["create"]))
        else:
            for runner_args, job in request["prepare"]:
                yield self._guarded(limit, lambda: self._prepare(runner_args, job))  # noqa: B023 - called at once

    def _guarded(self, limit: float, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            return act()
        except Refused as refused:
            return {"refused": str(refused), "traceback": ""}
        except (
            BaseException
        ) as error:  # SystemExit and KeyboardInterrupt of the user's code are the job's business only
            return {"refused": f"{self._name} {self._how(error)}", "traceback": _traceback(error)}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._put_back()

    def _put_back(self) -> None:
        try:
            os.chdir(self._folder)
        except OSError:
            pass  # the folder is gone; whoever needs it will say so
        if self._variables != self._variables_at_first:
            self._put_back_variables()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # closed or replaced by the user's code

    def _put_back_variables(self) -> None:
        before = self._variables_at_first
        names = {*self._variables, *before}
        changed = sorted(os.fsdecode(name) for name in names if self._variables.get(name) != before.get(name))
        sys.stderr.write(
            f"burnish: {self._name} changed os.environ ({', '.join(changed)}). That reaches no job; "
            "return burnish.Command(argv, env={...}) instead.\n"
        )
        os.environ.clear()
        os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in before.items()})

    def _how(self, error: BaseException) -> str:
        if isinstance(error, SystemExit):
            return f"{_exited(error)}. {self._advice}"
        return f"raised {_last_line(error)}"

    def _load(self, name: str, arguments: int) -> dict[str, Any]:
        self._name = name
        self._advice = RETURN_A_COMMAND if arguments == 2 else RETURN_JOBS
        module_name, _, function_name = name.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except BaseException as error:
            found = (
                f" Searched: {', '.join(dict.fromkeys(sys.path))}." if isinstance(error, ModuleNotFoundError) else ""
            )
            return {
                "refused": f"cannot import {module_name}: {_last_line(error)}.{found}",
                "traceback": _traceback(error),
            }
        if not hasattr(module, function_name):
            return {"refused": f"{_file(module)} has no function {function_name}.", "names": _functions(module)}
        function = getattr(module, function_name)
        if not callable(function):
            raise Refused(f"{function_name} in {_file(module)} is {_type(function)}, not a function.")
        _check_signature(function, f"{function_name} in {_file(module)}", arguments)
        self._function = function
        return {}

    def _prepare(self, runner_args: dict[str, Any], job: dict[str, str]) -> dict[str, Any]:
        return {"command": _command(self._function(runner_args, job), self._name)}

    def _create(self, most: int) -> dict[str, Any]:
        columns, rows = _table(self._function(), self._name, most)
        return {"columns": columns, "rows": rows}


def _command(result: Any, name: str) -> dict[str, Any]:
    if inspect.isawaitable(result):
        raise Refused(f"{name} is an async function; burnish calls it without a loop. Write it with plain `def`.")
    if all(hasattr(result, field) for field in ("argv", "env", "cwd")):
        argv, env, cwd = result.argv, result.env, result.cwd
    elif isinstance(result, (list, tuple)):
        argv, env, cwd = result, None, None
    else:
        raise Refused(f"{name} {_wrong_result(result)} {RETURN_A_COMMAND}")
    if isinstance(argv, (str, bytes)) or not all(isinstance(part, (str, int, float, os.PathLike)) for part in argv):
        raise Refused(f"{name} returned the argv {_shown(argv)}; expected a list of texts.")
    if env is not None and not (
        isinstance(env, Mapping) and all(isinstance(n, str) and v is not None for n, v in env.items())
    ):
        raise Refused(f"{name} returned an env that is no dict of names and texts.")
    return {
        "argv": [os.fspath(part) if isinstance(part, os.PathLike) else str(part) for part in argv],
        "env": None if env is None else {key: str(value) for key, value in env.items()},
        "cwd": None if cwd is None else os.fspath(cwd),
    }


def _wrong_result(result: Any) -> str:
    if result is None:
        return "returned nothing."
    if isinstance(result, (bool, int)) or result in ("COMPLETE", "ERROR", "NOT_RUNNING", "RUNNING"):
        return f"returned {_shown(result)}, a verdict; burnish runs the command itself and sees how it ends."
    if isinstance(result, str):
        return f"returned one text, {_shown(result)}."
    return f"returned {_type(result)}."


def _table(result: Any, name: str, most: int) -> tuple[list[str], list[list[Any]]]:
    if isinstance(result, Mapping):
        return _from_lists(result, name, most)
    if isinstance(result, (str, bytes)) or not hasattr(result, "__iter__"):
        raise Refused(f"{name} returned {'nothing' if result is None else _type(result)}. {RETURN_JOBS}")
    columns: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    for index, row in enumerate(itertools.islice(result, most + 1)):
        if not isinstance(row, Mapping):
            raise Refused(f"{name}: item {index} is {_type(row)}, {_shown(row)}. {RETURN_JOBS}")
        cells = {str(key): _value(value) for key, value in row.items()}
        columns.update(dict.fromkeys(cells))
        rows.append(cells)
    return list(columns), [[row.get(column) for column in columns] for row in rows]


def _from_lists(result: Mapping[Any, Any], name: str, most: int) -> tuple[list[str], list[list[Any]]]:
    for key, values in result.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
            raise Refused(f"{name}: {key} is {_type(values)}, {_shown(values)}; in a dict every value is a list.")
    lengths = {str(key): len(values) for key, values in result.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise Refused(
            f"{name}: the lists are not equally long ({shown}); burnish.util.create_grid_search makes them so."
        )
    columns = [[_value(value) for value in itertools.islice(values, most + 1)] for values in result.values()]
    return list(lengths), [list(row) for row in zip(*columns, strict=True)]


def _value(value: Any) -> Any:
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()  # a NumPy or torch number
    if value is None or isinstance(value, (bool, str)):
        return value
    return repr(value) if isinstance(value, float) else str(value)


def _check_signature(function: Callable[..., Any], name: str, arguments: int) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: calling it will tell
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        called = "(runner_args, job_dict)" if arguments == 2 else "()"
        raise Refused(f"{name} is written as {signature}; burnish calls it with {called}.") from None


def _functions(module: Any) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]


def _file(module: Any) -> str:
    return getattr(module, "__file__", None) or str(module.__name__)


def _exited(error: SystemExit) -> str:
    return f"called sys.exit({_shown(error.code) if error.code is not None else ''})"


def _last_line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it {_exited(error)}"
    lines = traceback.format_exception_only(type(error), error)
    last = lines[-1].strip().splitlines()[0].removesuffix(".")
    return f"{last} ({error.filename}, line {error.lineno})" if isinstance(error, SyntaxError) else last


def _traceback(error: BaseException) -> str:
    """The traceback without burnish's own frames, which would only be in the way."""
    told = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = told
    while part is not None:
        part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if not _ours(frame.filename)])
        part = part.__cause__ or part.__context__
    return "".join(told.format())


def _ours(filename: str) -> bool:
    package = os.path.dirname(os.path.dirname(__file__))
    return filename == importlib.__file__ or filename.startswith((f"{package}{os.sep}", "<frozen importlib"))


def _type(value: Any) -> str:
    word = type(value).__name__
    return f"{'an' if word[:1] in 'aeiouAEIOU' else 'a'} {word}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:79] + "…"
