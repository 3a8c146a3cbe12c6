"""Where commands come from: `--command`, `--python_file`, or a function of the user's."""

from burnish.runners.creator import created
from burnish.runners.function_process import FunctionProcess
from burnish.runners.refusal import RunnerRefused
from burnish.runners.sources import Call, CommandSource, FunctionSource, PythonFileSource, TemplateSource

__all__ = [
    "Call",
    "CommandSource",
    "FunctionProcess",
    "FunctionSource",
    "PythonFileSource",
    "RunnerRefused",
    "TemplateSource",
    "created",
]
