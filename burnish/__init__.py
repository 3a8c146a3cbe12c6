"""burnish: run a grid of experiments over the GPU boxes you have.

Runner files need two names: `burnish.util` (always reachable after `import burnish`) and `burnish.Command`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish import util
    from burnish.core.command import Command

__version__ = "0.2.0"
__all__ = ["Command", "__version__", "util"]


def __getattr__(name: str) -> Any:
    """Load what a runner file asks for when it asks: the command line needs neither, and starts sooner."""
    if name == "util":
        return importlib.import_module("burnish.util")
    if name == "Command":
        return importlib.import_module("burnish.core.command").Command
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")
