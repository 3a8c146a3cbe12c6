"""Values that are never shown, because their names look as if they were secrets: WANDB_API_KEY, HF_TOKEN, DB_PASSWORD.

It is the name that decides, and a doubt hides: that a value is not shown costs a look into the file where it stands.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# Not tokenizers: TOKENIZERS_PARALLELISM is in everybody's environment.
_SECRET = r"(?:token(?!iz)|secret|key|passw|passphrase|credential)"
_LOOKS_SECRET = re.compile(_SECRET, re.IGNORECASE)
_SET = re.compile(rf"(\w*{_SECRET}\w*=)(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    """Whether a variable of this name may hold a secret."""
    return _LOOKS_SECRET.search(name) is not None


def shown(name: str, value: str) -> str:
    """What people see of a variable's value."""
    return HIDDEN if looks_secret(name) else value


def without_secrets(text: str) -> str:
    """Shell lines, or what was meant as a list of variables, without what they set secrets to: `export HF_TOKEN=***`."""
    return _SET.sub(rf"\1{HIDDEN}", text)
