"""What burnish runs on a host: the agent that serves one link, and the supervisor that owns one attempt.

An attempt is a folder. `start.json` and `final.json` are made once each, by whoever is first, and whoever reads the folder
knows what happened; frames, pipes and processes may be lost at any time. The agent (`serving`) is stateless and dies with its
link. A `supervisor` owns one attempt: it has left the link's session, makes `start.json`, and only if that was new runs the
job; waits for it, ends what it left behind, and makes `final.json`. While its agent lives it takes one attempt after the other.

A lock on the local disk says that somebody of the attempt is alive: its supervisor holds it, and the job with whatever
inherits it. The kernel frees it at death. Which of them lives, pids with their start times say; where the lock is gone (a
cleaned /var/tmp), they and the job's BURNISH_RESULT variable, the *cookie*, answer alone.

Standard library and Python 3.8 only, and no import from the rest of burnish: `burnish/remote/bundle.py` makes one text of
these modules, which is sent to hosts. The coordinator imports `frames` for its own end. docs/protocol.md is the same in prose.
"""
