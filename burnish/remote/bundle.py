"""One Python text of the agent's package: what is sent to hosts, and what they keep for supervisors that go on without us.

The modules stand in it one after the other, just as they are in `agent/`; a head of a few lines imports them from there as
`burnish_agent.<name>`. It is the same text, to the byte, wherever this version of burnish is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PACKAGE = "burnish_agent"

_HEAD = f'''\
"""burnish's agent: `serve` is what a link runs, `python3 THIS supervise FOLDER` a supervisor of one attempt."""

import sys

TEXTS = {{}}  # by the modules' names; each goes when it is imported


class Bundle:
    """Imports the modules below."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        # The class of all modules' specs: importlib.machinery, where it has its name, is not loaded yet.
        return type(sys.__spec__)(name, Bundle, is_package=name == "{PACKAGE}") if name in TEXTS else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        code = compile(TEXTS.pop(module.__name__), module.__name__.replace(".", "/") + ".py", "exec")
        exec(code, module.__dict__)


sys.meta_path.insert(0, Bundle)
'''

_TAIL = f"""
if __name__ == "__main__":
    from {PACKAGE}.alone import main

    main(sys.argv)
else:
    from {PACKAGE}.serving import serve
"""


def bundle() -> bytes:
    """The text, in UTF-8."""
    files = {file.name: file for file in _package().iterdir() if file.name.endswith(".py")}
    texts = (quoted(name, files[name].read_text(encoding="utf-8")) for name in sorted(files))
    return "\n".join([_HEAD, *texts, _TAIL]).encode()


def _package() -> Any:
    """The agent's folder: a path, or what stands for one in a zip."""
    folder = Path(__file__).with_name("agent")
    if folder.is_dir():
        return folder
    from importlib import resources  # not above: it takes 5 ms

    return resources.files("burnish.remote.agent")


def quoted(file: str, text: str) -> str:
    """The assignment of a module's text. Raises ValueError for one that would not stand between its quotes as it is."""
    if "'''" in text or text.endswith("\\"):
        raise ValueError(f"agent/{file} cannot be quoted as it is: it has ''' in it")
    name = PACKAGE if file == "__init__.py" else f"{PACKAGE}.{file.removesuffix('.py')}"
    return f"TEXTS[\"{name}\"] = r'''{text}'''\n"
