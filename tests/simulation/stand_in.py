"""A module that stands in for a real one: simulated calls, and beside them what only computes.

It is a real module object, filled beforehand: the interpreter has a quick way to what it finds in a module, and none to the
attributes of an object whose class answers for missing ones. Tens of millions of them are asked for in an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any


def stand_in(name: str, pure: Mapping[str, Any], calls: object, missing: Callable[[str], Any]) -> ModuleType:
    """`pure`, over it the public attributes of `calls`; who asks for anything else has `missing` called with its name."""
    module = ModuleType(f"simulated {name}")
    here = vars(module)
    here.update(pure)
    here.update({each: getattr(calls, each) for each, value in vars(type(calls)).items() if _is_call(each, value)})
    here.update({each: value for each, value in vars(calls).items() if not each.startswith("_")})
    here["__getattr__"] = missing
    return module


def _is_call(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, (FunctionType, staticmethod))
