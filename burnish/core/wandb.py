"""A Weights & Biases sweep file as a grid of ours, offline: nothing of wandb is needed or asked.

`method: grid` is the product of all values; `method: random` draws `run_cap` rows, each parameter by its own distribution. The
same file gives the same draws everywhere. `command:` says how wandb's agent would start a run, and becomes the `burnish run` that
does so. Parameters within a parameter become arguments with dots in their names: wandb's agent would pass Python's `{'lr': 0.1}`
in one argument, which hardly anything reads. What needs results while the sweep goes (`bayes`, `early_terminate`) is beyond a
table, and that is said.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Callable, Iterator
from itertools import islice, product
from statistics import NormalDist

from msgspec import Struct
from msgspec.structs import replace

from burnish.core.cells import Findings, column_fault, from_scalar
from burnish.core.columns import did_you_mean
from burnish.core.document import Mapping, Node, Scalar, Sequence, kind
from burnish.core.sweep import MAX_JOBS, Grid
from burnish.errors import InputError, printable

FLAGS = "${args_no_boolean_flags}"
TOP = (
    "program", "method", "parameters", "command", "run_cap", "metric", "early_terminate", "name", "description", "project",
    "entity",
)  # fmt: skip
OF_PARAMETER = ("value", "values", "distribution", "min", "max", "q", "mu", "sigma", "probabilities")
LEAST = 1e-12  # of a draw from (0, 1), whose ends have no place in a normal distribution

Draw = Callable[[float], float]


class _Parameter(Struct, frozen=True):
    """`values` to search over, or a `draw` from (0, 1) to a number. `chances` of the values, if not equal; `q`: round to this."""

    column: str
    values: tuple[str, ...] = ()
    chances: tuple[float, ...] = ()
    draw: Draw | None = None
    q: float | None = None

    def at(self, share: float) -> str:
        """The text for a number drawn from (0, 1)."""
        if self.draw is not None:
            return _text(self.draw(share), self.q)
        total, reached = sum(self.chances), 0.0
        for chance, value in zip(self.chances, self.values, strict=False):
            reached += chance / total
            if share < reached:
                return value
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


def expand(node: Node, max_jobs: int = MAX_JOBS) -> Grid:
    """The jobs of a sweep file. Raises InputError with all of its problems."""
    findings = Findings()
    if not isinstance(node, Mapping):
        raise InputError([node.problem(f"found {printable(kind(node))}; expected `method:` and `parameters:`.")])
    for key, _ in node:
        if key.text not in TOP:
            findings.refuse(key, f'wandb knows no "{printable(key.text)}" here.{did_you_mean(key.text, TOP)}')
    method = _word(node, "method", "grid or random", findings)
    if method == "bayes":
        findings.refuse(node.get("method") or node, "bayes needs results as it goes; burnish does grid and random.")
    elif method not in ("grid", "random"):
        findings.refuse(node.get("method") or node, f'method is "{printable(method)}"; expected grid or random.')
    if (early := node.get("early_terminate")) is not None:
        findings.note(early, "early_terminate is passed over: burnish ends no job early.")
    parameters = list(_parameters(node, method, findings))
    cap = _cap(node, method, findings)
    _stop_on(findings)
    size = math.prod(len(parameter.values) for parameter in parameters) if method == "grid" else cap or 0
    jobs = size if cap is None else min(size, cap)
    if jobs > max_jobs:
        raise InputError(
            [node.problem(f"this sweep has {jobs} jobs; the limit is {max_jobs} (--max_jobs). Nothing was expanded.")]
        )
    rows = _product(parameters) if method == "grid" else _drawn(parameters)
    if (said := _command(node, parameters, findings)) is not None:
        findings.note(node, f"to start it as wandb would: {said}")
    _stop_on(findings)
    return Grid(tuple(parameter.column for parameter in parameters), tuple(islice(rows, jobs)), findings.notices)


def _product(parameters: list[_Parameter]) -> Iterator[tuple[str, ...]]:
    return product(*(parameter.values for parameter in parameters))


def _drawn(parameters: list[_Parameter]) -> Iterator[tuple[str, ...]]:
    number = 0
    while True:
        yield tuple(parameter.at(_share(parameter.column, number)) for parameter in parameters)
        number += 1


def _share(column: str, number: int) -> float:
    """A number from (0, 1) that looks random; not `random`, whose draws are not promised to stay between versions."""
    digest = hashlib.blake2b(f"0/{column}/{number}".encode(), digest_size=8).digest()
    return min(max(int.from_bytes(digest, "big") / 2**64, LEAST), 1 - LEAST)


# -- parameters ------------------------------------------------------------------------------------------------------------


def _parameters(node: Mapping, method: str, findings: Findings) -> Iterator[_Parameter]:
    found = node.get("parameters")
    if not isinstance(found, Mapping) or not found.entries:
        findings.refuse(
            found or node, "parameters is missing; expected a mapping such as {lr: {values: [1e-4, 1e-3]}}."
        )
        return
    command = node.get("command")
    words = [item.text for item in getattr(command, "items", ()) if isinstance(item, Scalar)]
    names: set[str] = set()
    for key, spec in _leaves(found, "", findings):
        if key.text in names:
            findings.refuse(
                key, f"{printable(key.text)} is there twice, as a name with dots and by nesting; remove one."
            )
        elif fault := column_fault(f"--{key.text}"):
            findings.refuse(key, fault)
        else:
            yield _parameter(key, spec, method, FLAGS in words, findings)
        names.add(key.text)


def _leaves(found: Mapping, above: str, findings: Findings) -> Iterator[tuple[Scalar, Mapping]]:
    """Each parameter that has values, those within other parameters too, under its full name: `optimizer.lr`."""
    for typed, spec in found:
        key = replace(typed, text=above + typed.text)
        name = printable(key.text)
        if not isinstance(spec, Mapping):
            expected = "{value: …}, {values: […]}, a distribution, or {parameters: …}"
            findings.refuse(spec, f"{name} is {kind(spec)}; expected {expected}.")
        elif (own := spec.get("parameters")) is None:
            yield key, spec
        elif not isinstance(own, Mapping) or not own.entries:
            found_own = "empty" if isinstance(own, Mapping) else kind(own)
            findings.refuse(
                own, f"parameters of {name} is {found_own}; expected a mapping such as {{lr: {{value: 0.1}}}}."
            )
        elif len(spec.entries) > 1:
            other = next(other for other, _ in spec if other.text != "parameters")
            findings.refuse(
                other, f"{name} holds parameters of its own, and {printable(other.text)} beside them; remove one."
            )
        else:
            if not above:
                first = printable(f"--{key.text}.{own.entries[0][0].text}")
                findings.note(typed, f"each parameter within {name} is an argument of its own: {first}, …")
            yield from _leaves(own, f"{key.text}.", findings)


def _parameter(key: Scalar, spec: Mapping, method: str, flags: bool, findings: Findings) -> _Parameter:
    column = f"--{key.text}"
    nothing = _Parameter(column, ("",))
    for name, held in spec:
        if name.text not in OF_PARAMETER:
            near = did_you_mean(name.text, OF_PARAMETER)
            if isinstance(held, Mapping):
                near = f" Parameters within {printable(key.text)} stand below `parameters:`."
            findings.refuse(name, f'wandb knows no "{printable(name.text)}" here.{near}')
    if (value := spec.get("value")) is not None:
        return _Parameter(column, (_cell(column, value, flags, findings),))
    if (values := spec.get("values")) is not None:
        if not isinstance(values, Sequence) or not values.items:
            findings.refuse(values, f"values of {printable(key.text)} is {kind(values)}; expected a list.")
            return nothing
        cells = tuple(_cell(column, item, flags, findings) for item in values.items)
        return _Parameter(column, cells, _chances(key, spec, len(cells), findings))
    drawn = _distribution(key, spec, findings)
    if drawn is None or method != "grid":
        return drawn or nothing
    return _every(key, spec, drawn, findings)


def _cell(column: str, node: Node, flags: bool, findings: Findings) -> str:
    """A value's text. wandb passes `True` and `False`, unless the command asks for flags."""
    if isinstance(node, Scalar) and node.boolean is not None and not flags:
        return str(node.boolean)
    return from_scalar(column, node, findings)


def _chances(key: Scalar, spec: Mapping, count: int, findings: Findings) -> tuple[float, ...]:
    node = spec.get("probabilities")
    if node is None:
        return ()
    given = [_number(item) for item in node.items] if isinstance(node, Sequence) else []
    chances = tuple(chance for chance in given if chance is not None and chance >= 0)
    if len(chances) != count or len(given) != count or not 0 < sum(chances) < math.inf:
        findings.refuse(node, f"probabilities of {printable(key.text)}: expected {count} numbers, one for each value.")
        return ()
    return chances


def _distribution(key: Scalar, spec: Mapping, findings: Findings) -> _Parameter | None:
    """The distribution of a parameter without values. None if there is none that can be read."""
    low, high = _number(spec.get("min")), _number(spec.get("max"))
    whole = all(
        isinstance(node := spec.get(end), Scalar) and node.text.lstrip("+-").isdigit() for end in ("min", "max")
    )
    named = spec.get("distribution")
    name = named.text if isinstance(named, Scalar) else ("int_uniform" if whole else "uniform")
    base = name.removeprefix("q_")
    mu, sigma = _number(spec.get("mu")) or 0.0, 1.0 if spec.get("sigma") is None else _number(spec.get("sigma"))
    draw: Draw | None
    if base in ("normal", "log_normal") and sigma is not None and sigma > 0:
        bell = NormalDist(mu, sigma).inv_cdf
        draw = bell if base == "normal" else lambda share: math.exp(bell(share))
    elif base in _BETWEEN and low is not None and high is not None and low <= high:
        draw = _between(base, low, high)
    else:
        draw = None
    if draw is None:
        known = (
            f"min and max (min not above max) with a distribution of {', '.join(_BETWEEN)}, normal, log_normal or q_…"
        )
        findings.refuse(
            spec,
            f"{printable(key.text)} has neither value nor values that can be read; expected one of them, or {known}.",
        )
        return None
    q = _number(spec.get("q"))
    if name.startswith("q_"):
        q = 1.0 if q is None else q
    if q is not None and q <= 0:
        findings.refuse(spec.get("q") or spec, f"q of {printable(key.text)}: expected a number above 0.")
        return None
    return _Parameter(f"--{key.text}", draw=draw, q=1.0 if base == "int_uniform" else q)


_BETWEEN = ("uniform", "int_uniform", "log_uniform", "log_uniform_values")


def _between(base: str, low: float, high: float) -> Draw | None:
    """From (0, 1) to a number of that distribution; None where `low` has no logarithm."""
    if base == "int_uniform":
        return lambda share: low + math.floor(share * (high - low + 1))
    if base == "uniform":
        return lambda share: low + share * (high - low)
    if base == "log_uniform":  # of exponents of e
        return lambda share: math.exp(low + share * (high - low))
    return None if low <= 0 else lambda share: math.exp(math.log(low) + share * (math.log(high) - math.log(low)))


def _every(key: Scalar, spec: Mapping, drawn: _Parameter, findings: Findings) -> _Parameter:
    """All values of a parameter that a grid can search: whole numbers, or those of q_uniform."""
    low, high, q = _number(spec.get("min")), _number(spec.get("max")), drawn.q
    named = spec.get("distribution")
    name = named.text if isinstance(named, Scalar) else ""
    if low is None or high is None or q is None or name not in ("", "int_uniform", "q_uniform"):
        findings.refuse(
            spec, f"{printable(key.text)} has endlessly many values; a grid takes values, int_uniform or q_uniform."
        )
        return _Parameter(drawn.column, ("",))
    count = math.floor((high - low) / q + 1e-9) + 1
    if count > MAX_JOBS:
        findings.refuse(spec, f"{printable(key.text)} has {count} values; the limit is {MAX_JOBS}.")
        return _Parameter(drawn.column, ("",))
    return _Parameter(drawn.column, tuple(_text(low + index * q, None) for index in range(count)))


# -- the rest of the file --------------------------------------------------------------------------------------------------


def _cap(node: Mapping, method: str, findings: Findings) -> int | None:
    cap = node.get("run_cap")
    if (
        isinstance(cap, Scalar)
        and cap.text.isascii()
        and cap.text.isdigit()
        and 0 < len(cap.text) < 10
        and int(cap.text)
    ):
        return int(cap.text)
    if cap is not None:
        findings.refuse(cap, f"run_cap is {kind(cap)}; expected a whole number above 0.")
    elif method == "random":
        findings.refuse(node, "method random goes on for ever in wandb; a table needs its end: add run_cap: 30.")
    return None


def _command(node: Mapping, parameters: list[_Parameter], findings: Findings) -> str | None:
    """The `burnish run` that starts a job as wandb's agent would; None if the file does not say what that is."""
    program = node.get("program")
    given = node.get("command")
    words = ["${env}", "${interpreter}", "${program}", "${args}"]
    if given is not None:
        words = [item.text for item in getattr(given, "items", ()) if isinstance(item, Scalar)]
        if not words or len(words) != len(getattr(given, "items", ())):
            findings.refuse(given, f"command is {kind(given)}; expected a list of words.")
            return None
    if program is None and "${program}" in words:
        return None
    name = program.text if isinstance(program, Scalar) else ""
    own = [word for word in words if word != "${env}"]
    if own in (["${interpreter}", "${program}", "${args}"], ["${interpreter}", "${program}", FLAGS]):
        return f"burnish run --python_file {shlex.quote(name)}"
    made: list[str] = []
    for word in own:
        if word == FLAGS:
            made += [_flag_or_value(given or node, parameter, findings) for parameter in parameters]
        elif word == "${args}":
            made += [f"{parameter.column}={{{parameter.column}}}" for parameter in parameters]
        elif word == "${args_no_hyphens}":
            made += [f"{parameter.column[2:]}={{{parameter.column}}}" for parameter in parameters]
        elif word.startswith("${args"):
            findings.note(given or node, f"{printable(word)} is passed over: burnish passes arguments one by one.")
        else:
            literal = {"${interpreter}": "python", "${program}": name}.get(word, word)
            made.append(shlex.quote(literal.replace("{", "{{").replace("}", "}}")))
    return f"burnish run --command {shlex.quote(' '.join(made))}"


def _flag_or_value(node: Node, parameter: _Parameter, findings: Findings) -> str:
    """The element of a template for a parameter whose true and false are a bare flag and nothing."""
    column = parameter.column
    bare = [value in (column, "") for value in parameter.values]
    if all(bare) and bare:
        return f"{{{column}}}"
    if any(bare):
        findings.note(
            node,
            f"{printable(column)} is a flag in some jobs and has a value in others: no template writes both, "
            "`burnish run --python_file` does.",
        )
    return f"{column}={{{column}}}"


def _word(node: Mapping, key: str, expected: str, findings: Findings) -> str:
    found = node.get(key)
    if isinstance(found, Scalar) and not found.null:
        return found.text
    findings.refuse(found or node, f"{key} is {'missing' if found is None else kind(found)}; expected {expected}.")
    return "grid"


def _number(node: Node | None) -> float | None:
    try:
        number = float(node.text) if isinstance(node, Scalar) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(number: float, q: float | None) -> str:
    """Twelve digits: 0.3, not 0.30000000000000004."""
    return f"{number if q is None else round(number / q) * q:.12g}"


def _stop_on(findings: Findings) -> None:
    if findings.problems:
        raise InputError(findings.problems)
