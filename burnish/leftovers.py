"""What the hosts keep of a table that goes away, removed: tombstones, and logs that nobody will fetch any more.

Claims say how to reach each host and which machine that was, so no inventory is needed. A host that does not answer keeps what it
has, harmlessly, and is named.
"""

from __future__ import annotations

from collections.abc import Callable

from burnish import survey
from burnish.core.hosts import Host
from burnish.core.ids import name_ids
from burnish.core.jobs import JobId
from burnish.core.sighting import Sighting
from burnish.core.standing import machines
from burnish.core.state import State
from burnish.remote.conversation import Conversation
from burnish.remote.reach import transport
from burnish.survey import Answer

LIMIT = 35.0  # s for all hosts together


def remove(state: State, say: Callable[[str], None]) -> None:
    """Let every host that the table was on remove what it keeps of it; `say` gets a sentence for each that could not."""
    used = machines(state)

    def ask(host: Host) -> Answer:
        return _remove_on(host, state.table, used[host])

    for answer in survey.survey(list(used), ask, LIMIT):
        name = answer.host.name
        for note in answer.notes:
            say(note)
        if answer.trouble:
            place = f"{answer.host.state_dir}/*/attempts/{state.table}"
            named = answer.trouble if answer.trouble.startswith(name) else f"{name}: {answer.trouble}"
            say(f"{named.rstrip('.')}. What {name} keeps of this table stays there.\nhint: on {name}: rm -r {place}")


def _remove_on(host: Host, table: str, state_id: str) -> Answer:
    """Raises HostRefused or HostUnreachable."""
    notes: list[str] = []
    with Conversation(transport(host, notes.append), table, host.state_dir, host.engine) as conversation:
        trouble = ""
        if conversation.welcome["state_id"] != state_id:
            trouble = "another machine answers under its name, or its state folder was made anew"
        elif left := conversation.ask({"type": "clean"}, "cleaned")["left"]:
            jobs = sorted({JobId(int(name.partition(".")[0])) for name in left})
            trouble = f"job{'s' * (len(jobs) > 1)} {name_ids(jobs)} still {'run' if len(jobs) > 1 else 'runs'} there"
    return Answer(host, Sighting(), state_id, trouble=trouble, notes=tuple(notes))
