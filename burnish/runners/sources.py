"""Where commands come from: a template, a Python file, or a function of the user's.

A source is asked once, before anything starts, whether it can work at all (`check`), and then for each job's command.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from burnish.core.columns import CONTROL_COLUMNS, did_you_mean
from burnish.core.command import Command, Template, check_limits, for_python_file, sought
from burnish.errors import UsageError, printable
from burnish.runners.function_process import CALL_LIMIT, FunctionProcess
from burnish.runners.refusal import RunnerRefused


class Call(NamedTuple):
    """One job to make a command for.

    `job`: column -> text for every column of the table in order, JOB_ID and STATE first. `runner_args`: `log_dir`, `prefix`,
    `host`, `gpus`, as plain values that JSON can hold.
    """

    job: Mapping[str, str]
    runner_args: Mapping[str, Any]


class CommandSource(Protocol):
    """Makes a job's command. Not for several threads at once. `instant`: it computes, and never waits for anybody."""

    instant: bool

    def check(self, columns: Sequence[str]) -> None:
        """Raises UsageError when no job can get a command. `columns`: all of the table's, JOB_ID and STATE included."""

    def prepare(self, job: Mapping[str, str], runner_args: Mapping[str, Any]) -> Command:
        """The command for one job. Raises RunnerRefused."""

    def prepare_many(self, calls: Sequence[Call]) -> list[Command | RunnerRefused]:
        """The same for several jobs, in one round trip where there is one."""

    def close(self) -> None:
        """End what `check` or `prepare` started. Idempotent."""


class _PureSource:
    """What sources that need no process have in common."""

    instant = True

    def _argv(self, job: Mapping[str, str]) -> tuple[str, ...]:
        raise NotImplementedError

    def prepare(self, job: Mapping[str, str], runner_args: Mapping[str, Any]) -> Command:
        return _startable(Command(self._argv(job)))

    def prepare_many(self, calls: Sequence[Call]) -> list[Command | RunnerRefused]:
        return [_outcome(lambda call=call: self.prepare(*call)) for call in calls]  # type: ignore[misc]

    def close(self) -> None:
        pass


class TemplateSource(_PureSource):
    """`--command TEMPLATE`. Raises UsageError when the template cannot be read.

    `here`: jobs run on this machine with this environment, so that their program can be sought before, if it is the same for all.
    """

    def __init__(self, template: str, *, here: bool = False) -> None:
        self._template = Template.parse(template)
        self._here = here

    def check(self, columns: Sequence[str]) -> None:
        self._template.check(columns)
        if self._here and (program := self._template.program) and (why := _why_not_there([program])):
            near = "" if "/" in program else did_you_mean(program, _programs())
            raise UsageError(f"--command {printable(program)}: {why}.{near}")

    def _argv(self, job: Mapping[str, str]) -> tuple[str, ...]:
        try:
            return self._template.fill(job)
        except KeyError as error:
            raise RunnerRefused(
                f"--command names {{{printable(error.args[0])}}}, and the table has no such column any more."
            ) from None


class PythonFileSource(_PureSource):
    """`--python_file PATH`, run by `python` or by the first of python, python3 on the job's PATH.

    `here`: jobs run on this machine with this environment, so that the interpreter can be sought before they do.
    """

    def __init__(self, path: str, python: str | None = None, *, here: bool = False) -> None:
        self._path = path
        self._python = python
        self._here = here

    def check(self, columns: Sequence[str]) -> None:
        if not os.path.isfile(self._path):
            self._refuse_file()
        if self._here:
            self._find_interpreter()

    def _find_interpreter(self) -> None:
        """Raises UsageError where there is none, as a job would not find one either."""
        argv = for_python_file(self._python, self._path, (), ())
        why = _why_not_there(sought(argv).get("programs") or argv[:1])
        if not why:
            return
        option = f"--python {printable(self._python)}" if self._python else "--python_file"
        raise UsageError(
            f"{option}: {why}; expected a Python interpreter on this machine.",
            hint="--python names one, by its path or as it is called in PATH: --python python3",
        )

    def _refuse_file(self) -> None:
        folder, name = os.path.split(self._path)
        if os.path.isdir(self._path):
            raise UsageError(f"--python_file {printable(self._path)}: this is a folder; expected a Python file.")
        try:
            near = did_you_mean(name, [entry for entry in os.listdir(folder or ".") if entry.endswith(".py")])
        except OSError:
            near = ""
        raise UsageError(f"--python_file {printable(self._path)}: no such file (looked from {os.getcwd()}).{near}")

    def _argv(self, job: Mapping[str, str]) -> tuple[str, ...]:
        return for_python_file(self._python, self._path, list(job), list(job.values()))


class FunctionSource:
    """`--func MODULE.FUNCTION`: calls `function(runner_args, job_dict)` in a process of its own, at most `limit` seconds each.

    `job_dict` holds JOB_ID, STATE and the arguments, as texts; control columns are burnish's and are not in it, so that a
    function that passes on everything passes on arguments only. `on_output` gets what the function printed for a job that got a
    command (JOB_ID, text); for one that did not, it is in the refusal's details. `say` hears why no command can be made for now.
    Raises UsageError for a name that is none.
    """

    instant = False

    def __init__(
        self,
        name: str,
        *,
        limit: float = CALL_LIMIT,
        on_output: Callable[[str, str], None] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._process = FunctionProcess(name, 2, limit=limit, say=say)
        self._on_output = on_output

    def check(self, columns: Sequence[str]) -> None:
        self._process.start()

    def prepare(self, job: Mapping[str, str], runner_args: Mapping[str, Any]) -> Command:
        [outcome] = self.prepare_many([Call(job, runner_args)])
        if isinstance(outcome, RunnerRefused):
            raise outcome
        return outcome

    def prepare_many(self, calls: Sequence[Call]) -> list[Command | RunnerRefused]:
        asked = [(dict(call.runner_args), _without_control(call.job)) for call in calls]
        replies = self._process.prepare(asked)
        return [self._read(call, reply, printed) for call, (reply, printed) in zip(calls, replies, strict=True)]

    def close(self) -> None:
        self._process.close()

    def _read(self, call: Call, reply: dict[str, Any], printed: str) -> Command | RunnerRefused:
        if "refused" in reply:
            return RunnerRefused(reply["refused"], reply["traceback"] + (f"It printed:\n{printed}" if printed else ""))
        if printed and self._on_output:
            self._on_output(call.job.get("JOB_ID", ""), printed)
        made = reply["command"]
        return _outcome(lambda: _startable(Command(tuple(made["argv"]), made["env"], made["cwd"])))


def _why_not_there(programs: Sequence[str]) -> str:
    """Why none of these can be started on this machine, a clause; "" if one can."""
    path = _path()
    if any(shutil.which(program, path=path) for program in programs):
        return ""
    if "/" in programs[0]:
        return "this is not executable" if os.path.exists(programs[0]) else "no such file"
    return f"no program {printable(' or '.join(programs))} in PATH ({printable(path, 500)})"


def _path() -> str:
    return os.environ.get("PATH") or os.defpath


def _programs() -> list[str]:
    """What the folders of this process's PATH hold, as far as they can be read."""
    found: set[str] = set()
    for folder in _path().split(os.pathsep):
        try:
            found.update(os.listdir(folder or "."))
        except OSError:
            continue
    return sorted(found)


def _without_control(job: Mapping[str, str]) -> dict[str, str]:
    return {column: text for column, text in job.items() if column not in CONTROL_COLUMNS}


def _startable(command: Command) -> Command:
    """`command`, if Linux can start it. Raises RunnerRefused."""
    fault = check_limits(command.argv, command.env)
    if fault is None and command.cwd is not None and "\0" in command.cwd:
        fault = "the command's folder holds a NUL byte."
    if fault:
        raise RunnerRefused(fault)
    return command


def _outcome(make: Callable[[], Command]) -> Command | RunnerRefused:
    try:
        return make()
    except RunnerRefused as refused:
        return refused
