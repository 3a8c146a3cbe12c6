"""Which names hide their values, and what is then seen."""

from __future__ import annotations

import pytest

from burnish.core.secrecy import looks_secret, shown, without_secrets


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "WANDB_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "apikey",
        "DB_PASSWORD",
        "PASSWD",
        "SSH_PASSPHRASE",
        "Credentials",
    ],
)
def test_name_of_a_secret_hides_its_value(name: str) -> None:
    assert looks_secret(name) and shown(name, "hf_abc") == "***"


@pytest.mark.parametrize("name", ["WANDB_MODE", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "PATH", ""])
def test_other_values_are_shown(name: str) -> None:
    assert shown(name, "offline") == "offline"


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        ("source env.sh\nexport HF_TOKEN=hf_abc A=b", "source env.sh\nexport HF_TOKEN=*** A=b"),
        ("HF_TOKEN='hf abc' python x", "HF_TOKEN=*** python x"),
        ("export api_key=\"hf abc\"'d e'f; next", "export api_key=*** next"),
        ('"HF_TOKEN=hf_abc"', '"HF_TOKEN=***"'),
        ("key = 1; tokens", "key = 1; tokens"),
    ],
)
def test_shell_lines_are_shown_without_the_secrets_that_they_set(lines: str, seen: str) -> None:
    assert without_secrets(lines) == seen
