"""burnish: run a grid of experiments over the GPU boxes you have.

Runner files need two names: `burnish.util` (always reachable after `import burnish`) and `burnish.Command`.
"""

from burnish import util
from burnish.core.command import Command

__version__ = "0.2.0"
__all__ = ["Command", "__version__", "util"]
