"""Functions of the user's, called in real processes: what they may do, and what they may not break."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from burnish import Command
from burnish.errors import InputError, UsageError
from burnish.runners.creator import created
from burnish.runners.refusal import RunnerRefused
from burnish.runners.sources import Call, FunctionSource, PythonFileSource, TemplateSource
from tests.support.deadline import within
from tests.support.proc import alive
from tests.support.waiting import wait_for

Make = Callable[..., FunctionSource]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of burnish."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def source(folder: Path) -> Iterator[Make]:
    """A FunctionSource for a runner with the given body, in a module `example` of the current folder."""
    made: list[FunctionSource] = []

    def make(body: str, top: str = "", limit: float = 20.0, **options: object) -> FunctionSource:
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        (folder / "example.py").write_text(
            f"import os, sys, burnish\n{top}\ndef runner(runner_args, job_dict):\n{indented}"
        )
        made.append(FunctionSource("example.runner", limit=limit, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def call(job: int, **cells: str) -> Call:
    return Call({"JOB_ID": str(job), "STATE": "NOT_RUNNING", **cells}, {"log_dir": "burnish_log", "prefix": "burnish"})


def refusal(source: FunctionSource, **cells: str) -> RunnerRefused:
    with pytest.raises(RunnerRefused) as caught:
        source.prepare(*call(0, **cells))
    return caught.value


# What a runner gets and gives


def test_a_runner_file_of_the_first_burnish_runs_unchanged(folder: Path) -> None:
    (folder / "old.py").write_text(
        "import burnish\n"
        "EXCLUDE_DICT_KEYS = ['STATE', 'JOB_ID']\n"
        "def runner(runner_args, job_dict):\n"
        "    args = []\n"
        "    for k, v in job_dict.items():\n"
        "        if k in EXCLUDE_DICT_KEYS:\n"
        "            continue\n"
        "        args.append(k)\n"
        "        args.append(v)\n"
        "    cmd = ['python', 'train.py'] + args\n"
        "    ret = burnish.util.run_subprocess_job(runner_args, job_dict, cmd)\n"
        "    return ret\n"
    )
    source = FunctionSource("old.runner")
    try:
        made = source.prepare(*call(7, PRIORITY="3", **{"--env": "env1", "--lr": "1e-4"}))
    finally:
        source.close()
    assert made == Command(("python", "train.py", "--env", "env1", "--lr", "1e-4"))


def test_a_dotted_module_is_found_from_the_current_folder(folder: Path) -> None:
    (folder / "lab").mkdir()
    (folder / "lab" / "example.py").write_text(
        "from burnish.util import run_subprocess_job as run\ndef runner(a, d): return run(a, d, ['x'])\n"
    )
    source = FunctionSource("lab.example.runner")
    try:
        assert source.prepare(*call(0)).argv == ("x",)
    finally:
        source.close()


def test_a_runner_sees_texts_and_what_burnish_knows(source: Make) -> None:
    made = source(
        "return ['x', repr(job_dict), runner_args['log_dir'], runner_args['prefix'], str(runner_args['gpus'])]"
    )
    job = {"JOB_ID": "3", "STATE": "NOT_RUNNING", "GPUS": "1", "--lr": "1e-4", "--off": ""}
    argv = made.prepare(job, {"log_dir": "/logs", "prefix": "burnish", "host": "gpu01", "gpus": [0, 1]}).argv
    assert eval(argv[1]) == {"JOB_ID": "3", "STATE": "NOT_RUNNING", "--lr": "1e-4", "--off": ""}
    assert argv[2:] == ("/logs", "burnish", "[0, 1]")


@pytest.mark.parametrize(
    ("returned", "command"),
    [
        ("['a', 'b c']", Command(("a", "b c"))),
        ("('a', 1, 0.5)", Command(("a", "1", "0.5"))),
        ("burnish.Command(['a'], env={'N': 1}, cwd='/tmp')", Command(("a",), {"N": "1"}, "/tmp")),
        ("burnish.util.run_subprocess_job({}, {}, 'a | b')", Command(("sh", "-c", "a | b"))),
        ("['a', '\\udcff\\n\\u2028 \\'\"$']", Command(("a", "\udcff\n\u2028 '\"$"))),
    ],
)
def test_what_a_runner_may_return(source: Make, returned: str, command: Command) -> None:
    assert source(f"return {returned}").prepare(*call(0)) == command


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "example.runner returned nothing."),
        ("True", "returned True, a verdict; burnish runs the command itself"),
        ("0", "returned 0, a verdict"),
        ("'COMPLETE'", "returned 'COMPLETE', a verdict"),
        ("'python train.py'", "returned one text, 'python train.py'."),
        ("{'a': 1}", "returned a dict."),
        ("['a', None]", "returned the argv ['a', None]; expected a list of texts."),
        ("burnish.Command('ls')", "returned the argv 'ls'; expected a list of texts."),
        ("burnish.Command(['a'], env={'A': None})", "env that is no dict"),
        ("[]", "the command is empty"),
        ("['a', 'b\\0']", "argument 1 holds a NUL byte"),
        ("['a', 'x' * 200000]", "argument 1 is 200,000 bytes; Linux passes at most 131,071"),
        ("burnish.Command(['a'], env={'A=B': '1'})", '"A=B" cannot be the name of an environment variable.'),
    ],
)
def test_what_it_may_not_return_is_refused_with_a_sentence(source: Make, returned: str, says: str) -> None:
    assert says in str(refusal(source(f"return {returned}")))


def test_an_async_runner_is_named(source: Make, folder: Path) -> None:
    made = source("return ['a']")
    (folder / "example.py").write_text("async def runner(a, d): return ['a']\n")
    assert "async function" in str(refusal(made))


# What a runner may do


def test_what_it_prints_is_kept_apart_by_job(source: Make) -> None:
    said: list[tuple[str, str]] = []
    body = "print('job', job_dict['JOB_ID'])\nos.system('echo from a program >&2')\nreturn ['a']"
    made = source(body, on_output=lambda job, text: said.append((job, text)))
    assert made.prepare_many([call(1), call(2)]) == [Command(("a",)), Command(("a",))]
    made.prepare(*call(3))
    assert [job for job, _ in said] == ["1", "2", "3"]
    assert all(f"job {job}\n" in text and "from a program\n" in text and text.count("\n") == 2 for job, text in said)


def test_its_surroundings_are_put_back_after_each_call(source: Make) -> None:
    said: list[str] = []
    body = "seen = [os.getcwd(), os.environ.get('X', '-')]\nos.chdir('/')\nos.environ['X'] = '1'\nreturn seen"
    made = source(body, on_output=lambda _, text: said.append(text))
    assert made.prepare_many([call(0), call(1)]) == [Command((os.getcwd(), "-"))] * 2
    assert "changed os.environ (X). That reaches no job" in said[0]
    assert "X" not in os.environ


def test_an_exception_is_the_jobs_own_with_its_traceback_and_prints(source: Make) -> None:
    made = source("print('before')\nif job_dict['JOB_ID'] == '1': raise ValueError('no\\nway')\nreturn ['a']")
    first, second, third = made.prepare_many([call(0), call(1), call(2)])
    assert first == third == Command(("a",))
    assert isinstance(second, RunnerRefused)
    assert str(second) == "example.runner raised ValueError: no"
    assert "example.py" in second.details
    assert "function_child" not in second.details
    assert second.details.endswith("before\n")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("sys.exit(3)", "example.runner called sys.exit(3)."),
        ("raise KeyboardInterrupt", "example.runner raised KeyboardInterrupt"),
        ("os._exit(7)", "example.runner ended its process with exit code 7."),
        ("os.kill(os.getpid(), 11)", "example.runner was killed by SIGSEGV."),
        ("def f(): f()\nf()", "example.runner raised RecursionError"),
        ("os.closerange(3, 50)", "example.runner ended its process with exit code 1."),
    ],
)
def test_a_runner_that_ends_badly_ends_only_its_own_job(source: Make, body: str, says: str) -> None:
    made = source("if job_dict['JOB_ID'] != '1': return ['fine']\n" + body)
    first, second, third = made.prepare_many([call(0), call(1), call(2)])
    assert first == third == Command(("fine",))
    assert says in str(second)


def test_a_runner_that_forks_answers_once(source: Make) -> None:
    made = source("if os.fork(): os.wait()\nreturn [job_dict['JOB_ID']]")
    assert made.prepare_many([call(0), call(1)]) == [Command(("0",)), Command(("1",))]


def test_a_runner_that_hangs_is_ended_and_shown_where(source: Make) -> None:
    made = source("import time\nif job_dict['JOB_ID'] == '1': time.sleep(600)\nreturn [str(os.getpid())]", limit=2.0)
    first, second, third = made.prepare_many([call(0), call(1), call(2)])
    assert isinstance(second, RunnerRefused)
    assert str(second) == "example.runner did not return within 2 s; it must return the command, not run it."
    assert "example.py" in second.details
    assert isinstance(first, Command)
    assert isinstance(third, Command)
    assert first.argv != third.argv, "a new process answers"


def test_a_runner_that_will_not_be_interrupted_is_killed(source: Make) -> None:
    top = "import signal, time"
    body = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nwhile True: time.sleep(60)"
    with within(20):
        assert "did not return within 0.2 s" in str(refusal(source(body, top, limit=0.2)))


def test_the_limit_is_for_each_job_and_not_for_all(source: Make) -> None:
    made = source("import time\ntime.sleep(0.3)\nreturn ['a']", limit=2.9)
    assert made.prepare_many([call(job) for job in range(10)]) == [Command(("a",))] * 10


def test_many_jobs_in_one_round_trip(source: Make) -> None:
    made = source("return ['x', job_dict['JOB_ID'], 'y' * 500]")
    commands = made.prepare_many([call(job, **{"--note": "z" * 500}) for job in range(3000)])
    assert [command.argv[1] for command in commands if isinstance(command, Command)] == [
        str(job) for job in range(3000)
    ]


def test_nothing_is_left_when_it_is_closed(source: Make) -> None:
    body = "import subprocess\nreturn [str(os.getpid()), str(subprocess.Popen(['sleep', '600']).pid)]"
    made = source(body)
    pids = [int(pid) for pid in made.prepare(*call(0)).argv]
    made.close()
    made.close()
    wait_for(lambda: not any(map(alive, pids)), lambda: pids)


def test_the_process_ends_with_burnish(source: Make, tmp_path: Path) -> None:
    source("return [str(os.getpid())]")
    program = (
        "import os, signal\nfrom burnish.runners.sources import FunctionSource\n"
        "print(FunctionSource('example.runner').prepare({}, {}).argv[0], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = run_alone(program, tmp_path)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not alive(int(done.stdout)), done.stdout)


@pytest.mark.parametrize("spare", [0, 1, 3, 5, 6])
def test_a_process_that_cannot_be_started_again_is_tried_until_it_can(source: Make, spare: int) -> None:
    """With so many descriptors to spare there is none for its output, or for a pipe, or for what starts it."""
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    made = source("if job_dict['n'] == 'dies':\n    os._exit(9)\nreturn [job_dict['n']]", say=hear)
    assert "ended its process with exit code 9" in str(refusal(made, n="dies"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with few_descriptors(spare):
        commands = made.prepare_many([call(1, n="one"), call(2, n="two")])
    assert commands == [Command(("one",)), Command(("two",))]
    assert said == [
        "--func example.runner: no process can be started for it (Too many open files). Jobs that wait get no command; "
        "trying again. Running jobs go on."
    ]


@pytest.mark.parametrize("spare", [0, 1, 3, 5, 6])
def test_a_process_that_cannot_be_started_leaves_nothing_open(source: Make, spare: int) -> None:
    made = source("return ['true']")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with (
            few_descriptors(spare),
            pytest.raises(UsageError, match=r"no process can be started for it \(Too many open"),
        ):
            made.check([])
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) <= before


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """This process may open so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in taken:
            os.close(one)


def test_a_function_is_called_also_where_there_are_a_thousand_open_files(source: Make) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    taken = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(1024)]
    try:
        assert source("return ['true']").prepare(*call(0)) == Command(("true",))
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_whose_end_the_kernel_does_not_tell_has_ended(source: Make, tmp_path: Path) -> None:
    source("os._exit(9)")
    program = (
        "import signal\nfrom burnish.runners.sources import Call, FunctionSource\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "print(*FunctionSource('example.runner').prepare_many([Call({}, {}), Call({}, {})]), sep='\\n')\n"
    )
    done = run_alone(program, tmp_path)
    assert done.stdout.splitlines() == ["example.runner ended its process (how is not known)."] * 2, done.stderr


def test_a_run_whose_commands_nobody_makes_any_more_ends_and_says_so(folder: Path) -> None:
    (folder / "burnish.db").write_text("JOB_ID,STATE,x\n0,,1\n")
    (folder / "example.py").write_text("def runner(runner_args, job_dict): return ['true']\n")
    program = (
        "import sys\nfrom burnish.__main__ import main\nfrom burnish.runners.function_process import FunctionProcess\n"
        "FunctionProcess.prepare = lambda self, calls: [][0]\n"
        "sys.argv = ['burnish', 'run', '--func', 'example.runner']\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, env=with_burnish(), timeout=60
    )
    assert done.returncode == 4
    assert "burnish broke (no commands are made any more, IndexError: list index out of range)" in done.stderr
    details = Path(done.stderr.rstrip().rpartition(" ")[2])
    assert "prepare = lambda" in details.read_text() or "in answers" in details.read_text()
    details.unlink()


def with_burnish() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def run_alone(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Some Python in a process of its own, in `folder`, where the user's module is."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=with_burnish(), timeout=60)


# Before anything starts


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("example", "expected MODULE.FUNCTION"),
        ("./example.py", "expected MODULE.FUNCTION"),
        (
            "exmaple.runner",
            "cannot import exmaple: ModuleNotFoundError: No module named 'exmaple'. Searched: {folder}, ",
        ),
        ("example.runer", "{folder}/example.py has no function runer. Did you mean runner?"),
        ("example.NUMBER", "NUMBER in {folder}/example.py is an int, not a function."),
        ("example.one", "one in {folder}/example.py is written as (x); burnish calls it with (runner_args, job_dict)."),
        ("broken.runner", "cannot import broken: SyntaxError: "),
        ("quits.runner", "cannot import quits: it called sys.exit(2)"),
        ("dies.runner", "importing dies ended its process with exit code 9."),
        ("needs.runner", "cannot import needs: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_function_that_cannot_be_called_is_found_out_at_once(folder: Path, name: str, says: str) -> None:
    (folder / "example.py").write_text("NUMBER = 3\ndef runner(a, d): pass\ndef one(x): pass\n")
    (folder / "broken.py").write_text("def runner(:\n")
    (folder / "quits.py").write_text("import sys; sys.exit(2)\n")
    (folder / "dies.py").write_text("import os; os._exit(9)\n")
    (folder / "needs.py").write_text("import no_such_module\n")
    with pytest.raises(UsageError) as caught:
        FunctionSource(name).check([])
    assert says.format(folder=folder) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_python_file_must_exist_before_anything_starts(folder: Path) -> None:
    (folder / "train.py").write_text("")
    PythonFileSource("train.py").check([])
    with pytest.raises(
        UsageError, match=r"--python_file trian.py: no such file \(looked from .*\). Did you mean train.py\?"
    ):
        PythonFileSource("trian.py").check([])
    with pytest.raises(UsageError, match="this is a folder"):
        PythonFileSource(".").check([])


def test_sources_without_a_process_answer_for_many_jobs_too(folder: Path) -> None:
    template = TemplateSource("run lr={--lr}")
    template.check(["JOB_ID", "STATE", "--lr"])
    fine, too_long = template.prepare_many([call(0, **{"--lr": "1"}), call(1, **{"--lr": "x" * 200_000})])
    assert fine == Command(("run", "lr=1"))
    assert isinstance(too_long, RunnerRefused)
    assert "Put it in a file" in str(too_long)
    (without,) = template.prepare_many([call(0)])
    assert isinstance(without, RunnerRefused)
    assert str(without) == "--command names {--lr}, and the table has no such column any more."
    file = PythonFileSource("train.py", "python3")
    assert file.prepare(*call(0, GPUS="1", **{"--lr": "1"})) == Command(("python3", "train.py", "--lr", "1"))


# Creators


def create(folder: Path, body: str, **options: float) -> object:
    (folder / "example.py").write_text(f"import burnish, itertools, time\ndef creator():\n    {body}\n")
    return created("example.creator", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "columns", "rows"),
    [
        (
            "return burnish.util.create_grid_search({'--lr': [0.1, 1e-05], '--amp': [True, False]})",
            ("--lr", "--amp"),
            (("0.1", "--amp"), ("0.1", ""), ("1e-05", "--amp"), ("1e-05", "")),
        ),
        ("return [{'--a': 1}, {'--b': None, '--a': 'x'}]", ("--a", "--b"), (("1", ""), ("x", ""))),
        ("return ({'--a': i} for i in range(2))", ("--a",), (("0",), ("1",))),
        ("yield {'--a': '1e-4'}", ("--a",), (("1e-4",),)),
        ("print('talk'); return {3: ['x']}", ("3",), (("x",),)),
    ],
)
def test_what_a_creator_may_return(folder: Path, body: str, columns: tuple[str, ...], rows: object) -> None:
    grid = create(folder, body)
    assert (grid.columns, grid.rows) == (columns, rows)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return None", "returned nothing. It must return the jobs: a dict of equally long lists"),
        ("return 3", "returned an int. It must return the jobs"),
        ("return 'abc'", "returned a str. It must return the jobs"),
        ("return {'--a': [1, 2], '--b': [1]}", "the lists are not equally long (--a has 2, --b has 1)"),
        ("return {'--a': 1}", "--a is an int, 1; in a dict every value is a list."),
        ("return [{'--a': 1}, 5]", "item 1 is an int, 5. It must return the jobs"),
        ("return []", "this gives no jobs."),
        ("return {'STATE': [1]}", "STATE is burnish's own column"),
        ("raise RuntimeError('why')", "example.creator raised RuntimeError: why"),
        ("return ({'--a': i} for i in itertools.count())", "more than 50 jobs, which is the limit (--max_jobs)."),
        ("time.sleep(600)", "did not return within 0.5 s"),
        ("exit(1)", "called sys.exit(1). It must return the jobs"),
    ],
)
def test_what_it_may_not_return_is_refused(folder: Path, body: str, says: str) -> None:
    began = time.monotonic()
    with pytest.raises((UsageError, InputError)) as caught:
        create(folder, body, limit=0.5 if "sleep" in body else 20.0, max_jobs=50)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert time.monotonic() - began < 30
