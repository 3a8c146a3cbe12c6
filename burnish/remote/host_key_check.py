"""Whether a host is who it should be: its key against known_hosts, with OpenSSH's strict policy.

Known: in. Unknown: refused, or learnt where the inventory or ssh's configuration says accept-new. Changed or revoked: always
refused, because that is what somebody in between looks like. The sentences show fingerprints and the command that helps.
"""

from __future__ import annotations

from collections.abc import Callable

from burnish.errors import HostKeyRefused, HostRefused
from burnish.remote import known_hosts
from burnish.remote.known_hosts import HostKey, KnownHosts, Opinion, Standing
from burnish.remote.ssh_config import Endpoint


def check(endpoint: Endpoint, known: KnownHosts, key: HostKey, note: Callable[[str], None]) -> None:
    """Return when `key` is, or has become, a known key of `endpoint`. Raises HostRefused otherwise."""
    opinion = known.opinion(endpoint.key_name, key)
    if opinion.standing is Standing.KNOWN:
        return
    if opinion.standing is Standing.UNKNOWN and endpoint.accept_new:
        note(_learn(endpoint, key))
        return
    for line in known.notes:
        note(line)
    raise _refusal(endpoint, key, opinion)


def _learn(endpoint: Endpoint, key: HostKey) -> str:
    if not endpoint.known_hosts:
        return f"{endpoint.name}: accepted its host key {key}; there is no known_hosts file to keep it in."
    path = endpoint.known_hosts[0]
    try:
        known_hosts.append(path, endpoint.key_name, key, hashed=endpoint.hash_known_hosts)
    except OSError as error:
        raise HostRefused(
            f"{endpoint.name}: its host key {key} is new and could not be added to {path} ({error.strerror}). "
            "This host is left out."
        ) from None
    return f"{endpoint.name}: learnt its host key {key}, kept in {path}."


def _refusal(endpoint: Endpoint, key: HostKey, opinion: Opinion) -> HostRefused:
    name = endpoint.name
    if opinion.standing is Standing.REVOKED:
        return HostKeyRefused(
            f"{name}: showed the host key {key}, which is revoked ({opinion.lines[0].where}). This host is left out."
        )
    if opinion.standing is Standing.CHANGED:
        expected = ", ".join(dict.fromkeys(f"{line.key} ({line.where})" for line in opinion.lines))
        removals = dict.fromkeys(known_hosts.removal(line.file, endpoint.key_name) for line in opinion.lines)
        return HostKeyRefused(
            f"{name}: its host key has changed. It showed {key}; expected {expected}. Either it was installed anew, or "
            "somebody else answers in its place. This host is left out.",
            hint=f"if it was installed anew: {' && '.join(removals)}, then `{endpoint.login_command}` once.",
        )
    return HostRefused(
        f"{name}: its host key is not known. It showed {key} as {endpoint.key_name}. This host is left out.",
        hint=f"compare the fingerprint and accept it by `{endpoint.login_command}` once, or write `host_keys: accept-new` "
        "in the inventory.",
    )
