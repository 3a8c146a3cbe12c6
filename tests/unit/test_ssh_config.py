"""What `ssh -G` answers, as an endpoint; asked of the real ssh program with configurations of the test's own."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from pathlib import Path

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.errors import HostRefused, HostUnreachable
from burnish.remote import ssh_config
from burnish.remote.ssh_config import Endpoint, resolve


def ask(tmp_path: Path, config: str, name: str = "gpu1", **entry: object) -> Endpoint:
    path = tmp_path / "config"
    path.write_text(config)
    return resolve(Host(HostName(name), ssh_config=str(path), **entry))  # type: ignore[arg-type]


def test_names_paths_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    endpoint = ask(
        tmp_path,
        "Host gpu*\n  HostName %h.lab\n  User alice\n  Port 2222\n  IdentityFile ~/.ssh/%r_%h\n  IdentityFile ${KEYS}/%n\n"
        "  CertificateFile /c/%p\n  HostKeyAlias pool-%n\n  ConnectTimeout 7\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        "  AddressFamily inet\n",
    )
    assert (endpoint.hostname, endpoint.user, endpoint.port) == ("gpu1.lab", "alice", 2222)
    assert endpoint.identities == (os.path.expanduser("~/.ssh/alice_gpu1.lab"), "/keys/gpu1")
    assert endpoint.certificates == ("/c/2222",)
    assert endpoint.key_name == "pool-gpu1"
    assert (endpoint.connect_timeout, endpoint.identities_only, endpoint.agent) == (7.0, True, None)
    assert endpoint.address_family is socket.AF_INET
    assert endpoint.address == "alice@gpu1.lab:2222"


@pytest.mark.parametrize("timeout", ["none", "0"])
def test_no_timeout_is_still_a_timeout(tmp_path: Path, timeout: str) -> None:
    assert ask(tmp_path, f"ConnectTimeout {timeout}\n").connect_timeout > 0


def test_known_hosts_files_also_with_spaces(tmp_path: Path) -> None:
    spaced, other = tmp_path / "my known hosts", tmp_path / "other"
    spaced.touch()
    endpoint = ask(tmp_path, f'UserKnownHostsFile "{spaced}" {other}\nGlobalKnownHostsFile none\n')
    assert (endpoint.known_hosts, endpoint.global_known_hosts) == ((str(spaced), str(other)), ())


@pytest.mark.parametrize(("word", "accepts"), [("yes", False), ("ask", False), ("accept-new", True), ("no", True)])
def test_strict_host_key_checking(tmp_path: Path, word: str, accepts: bool) -> None:
    assert ask(tmp_path, f"StrictHostKeyChecking {word}\n").accept_new is accepts


def test_agent_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/default")
    monkeypatch.setenv("OTHER", "/other")
    assert ask(tmp_path, "").agent == "/default"
    assert ask(tmp_path, "IdentityAgent SSH_AUTH_SOCK\n").agent == "/default"
    assert ask(tmp_path, "IdentityAgent $OTHER\n").agent == "/other"


def test_inventory_beats_the_configuration(tmp_path: Path) -> None:
    endpoint = ask(
        tmp_path,
        "Host *\n  HostName a\n  Port 1\n  User b\n  ProxyJump c\n",
        hostname="10.0.0.9",
        port=2,
        user="d",
        proxy_jump="none",
    )
    assert (endpoint.address, endpoint.jump, endpoint.name) == ("d@10.0.0.9:2", None, "gpu1")


def test_jumps_are_resolved_as_ssh_does(tmp_path: Path) -> None:
    endpoint = ask(
        tmp_path,
        "Host gpu1\n  ProxyJump first,bob@second:2022\nHost first\n  HostName 10.0.0.1\n  ProxyJump outer\n"
        "Host second\n  HostName 10.0.0.2\n  ProxyJump elsewhere\n",
    )
    chain = []
    while endpoint.jump:
        endpoint = endpoint.jump
        chain.append(endpoint.address)
    assert chain == ["bob@10.0.0.2:2022", f"{getpass.getuser()}@10.0.0.1", f"{getpass.getuser()}@outer"]


def test_proxy_jump_none(tmp_path: Path) -> None:
    assert ask(tmp_path, "Host gpu1\n  ProxyJump none\nHost *\n  ProxyJump login\n").jump is None


def test_jumps_in_a_circle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match="ProxyJump lead to itself"):
        ask(tmp_path, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n", "a")


def test_proxy_command_gets_its_tokens(tmp_path: Path) -> None:
    endpoint = ask(
        tmp_path, "ProxyCommand nc -x proxy %h %p # 100%% of %r at %n\nPort 2222\nUser alice\nHostName far\n"
    )
    assert endpoint.proxy_command == "nc -x proxy far 2222 # 100% of alice at gpu1"


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match=r"gpu1: ssh does not accept its configuration: .*config"):
        ask(tmp_path, "Nonsense yes\n")


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match="Can't open user config file"):
        resolve(Host(HostName("gpu1"), ssh_config=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "was ended by signal 9"),
        ("exec sleep 1000", "gave no answer in 0 s; does a `Match exec` in the ssh configuration hang"),
        ("kill -STOP $$", "gave no answer in 0 s; somebody has stopped it"),
        ("sleep 2 &", "gave no answer in 0 s; it has ended, and what it started holds its output"),
        (None, "cannot be run now"),
    ],
)
def test_ssh_that_cannot_be_asked_for_the_moment_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)
    monkeypatch.setattr(ssh_config, "ASK_TIMEOUT", 0.2 if "no answer" in said else 20.0)
    with contextlib.ExitStack() as until, pytest.raises(HostUnreachable, match=said):
        if script is None:
            until.enter_context(ssh.open("a"))  # whoever writes to a program keeps it from running
        resolve(Host(HostName("gpu1")), ssh=str(ssh))


def test_program_that_is_no_ssh_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "ssh").touch()
    with pytest.raises(HostRefused, match="Permission denied"):
        resolve(Host(HostName("gpu1")), ssh=str(tmp_path / "ssh"))


@pytest.mark.parametrize("name", ["-oProxyCommand=touch /tmp/x", "-F/etc/passwd"])
def test_a_name_is_never_an_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostRefused):
        ask(tmp_path, "", name)


def test_without_an_ssh_program_the_inventory_alone_counts(tmp_path: Path) -> None:
    host = Host(
        HostName("gpu1"), hostname="10.0.0.9", proxy_jump="alice@login:2022", ssh_config=str(tmp_path / "config")
    )
    endpoint = resolve(host, ssh=str(tmp_path / "no-ssh"))
    assert (endpoint.hostname, endpoint.port) == ("10.0.0.9", 22)
    assert endpoint.jump and endpoint.jump.address == "alice@login:2022"
    assert "no ssh program" in endpoint.notes[0]
