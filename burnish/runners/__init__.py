"""Where commands come from: `--command`, `--python_file`, or a function of the user's."""
