"""Puts simulated modules in the place of the real ones, in burnish's own modules and nowhere else.

A burnish module that imports `os`, `time`, … gets the simulated one under that name. It is done once in a process, for good:
simulations run in processes of their own, never beside other tests. Everything else of burnish stays as it is; the one call
that cannot be simulated in place is the agent's `fork`, since a greenlet does not return twice.
"""

from __future__ import annotations

import importlib
import pkgutil
import time as real_time
import types
from functools import lru_cache
from typing import Any

import filelock

from burnish.core import events
from burnish.remote import reach
from simulation import libraries
from simulation.os_layer import Os
from simulation.world import World

RESTS = 0.7  # how probable it is that a path of a run is taken for one that is told of, so that the run may rest
REMOTE = ("remote.link", "remote.logs", "remote.transport")  # not what knows SSH

os = Os()


def enter(world: World) -> None:
    """From now on, this world is the one that burnish runs in."""
    os.world = world


def install() -> None:
    """Replace what burnish's modules ask of their surroundings."""
    libraries.SimpleQueue.os = libraries.SimulatedPath.os = libraries.FileLock.os = os
    libraries.FileLock.fcntl = libraries.Fcntl(os)
    replacements: dict[str, Any] = {
        "os": os.module,
        "time": libraries.Time(os),
        "secrets": libraries.Secrets(os),
        "random": libraries.Secrets(os),
        "fcntl": libraries.FileLock.fcntl,
        "signal": libraries.Signal(os),
        "select": libraries.Select(os),
        "socket": libraries.Socket(os),
        "threading": libraries.Threading(os),
        "gc": libraries.NoGc(),
        "SimpleQueue": libraries.SimpleQueue,
        "Path": libraries.SimulatedPath,
        "exchange": os.exchange,
        "libc": libraries.Libc(os),
        "fork": libraries.fork(os),
        "_is_own": lambda path: os.me.machine.random.random() < RESTS,
    }
    for name in (*_modules("burnish"), *_modules("burnish.store"), *_modules("burnish.remote.agent"), *REMOTE):
        module = importlib.import_module(f"burnish.{name}")
        if name == "remote.transport":
            module._upload()  # reads the agent's real source, once
        for attribute, simulated in replacements.items():
            if hasattr(module, attribute):
                setattr(module, attribute, simulated)
        _replace_defaults(module, replacements["time"])
    events.from_json = lru_cache(maxsize=1 << 12)(
        events.from_json
    )  # the same lines again and again; facts do not change
    filelock.FileLock = libraries.FileLock  # type: ignore[misc,assignment]


def _modules(package: str) -> list[str]:
    folder = importlib.import_module(package).__path__
    inside = package.partition(".")[2]
    names = [found.name for found in pkgutil.iter_modules(folder) if not found.ispkg and found.name != "__main__"]
    return [f"{inside}.{name}" if inside else name for name in names]


def _replace_defaults(module: Any, clock: libraries.Time) -> None:
    """Defaults such as `clock=time.monotonic` were bound to the real functions when their module was loaded."""
    simulated = {real_time.monotonic: clock.monotonic, real_time.time: clock.time, real_time.sleep: clock.sleep}
    for kind in [value for value in vars(module).values() if isinstance(value, type)]:
        for function in [value for value in vars(kind).values() if isinstance(value, types.FunctionType)]:
            defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
            function.__defaults__ = tuple(_other(value, simulated) for value in defaults) or None
            function.__kwdefaults__ = {name: _other(value, simulated) for name, value in named.items()} or None


def _other(value: Any, simulated: dict[Any, Any]) -> Any:
    return simulated.get(value, value) if isinstance(value, types.BuiltinFunctionType) else value


def route(transport: Any) -> None:
    """Let `transport(host, say)` lead to hosts."""
    reach.transport = transport
