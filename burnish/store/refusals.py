"""What the disk refused, as a sentence: the one place where an OSError about the table becomes words."""

from __future__ import annotations

import errno
import os
import stat

from burnish.errors import InputError, Problem, StoreError, UsageError

_WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EACCES: "you have no permission",
    errno.EPERM: "you have no permission",
    errno.EROFS: "it is on a file system mounted read-only",
    errno.ELOOP: "its symlinks lead back to themselves",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ESTALE: "the file server no longer knows it (stale handle)",
    errno.EIO: "the disk reports an input/output error",
    errno.EMLINK: "it has too many hard links",
}


def why(error: OSError) -> str:
    """The cause in words: `the disk is full`."""
    return _WHY.get(error.errno or 0) or (error.strerror or str(error)).lower()


def unreadable(shown: str, error: OSError) -> StoreError:
    """The table cannot be read."""
    return StoreError(f"{shown}: cannot be read: {why(error)}. Nothing new is started; running jobs go on.")


def unwritable(shown: str, error: OSError) -> StoreError:
    """The table cannot be written; what is there was not touched."""
    return StoreError(
        f"{shown}: cannot be written: {why(error)}. It stays as it was; nothing that burnish knows is lost."
    )


def unkept(folder: str, error: OSError) -> StoreError:
    """burnish's own folder beside the table cannot be used."""
    return StoreError(f"{error.filename or folder}: burnish's own files: {why(error)}. The table stays as it was.")


def no_file(shown: str, mode: int) -> InputError | None:
    """The refusal of what is not a regular file, or None for one. A named pipe is refused before it is opened."""
    if stat.S_ISREG(mode):
        return None
    kinds = [(stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket")]
    kind = next((name for test, name in kinds if test(mode)), "a device")
    return InputError([Problem(shown, f"this is {kind}; expected a CSV file. Nothing was started.")])


def theirs(shown: str, root: str, owner: int) -> UsageError:
    """The table of another user (`owner`: their uid), where its journal in `root` is needed."""
    if (hint := _made_in_ones_own(_table(root), owner)) is not None:
        return UsageError(f"{_made_by(shown, owner)}: its journal cannot be opened.", hint=hint)
    return UsageError(
        f"{shown} belongs to {_name(owner)}, and its journal ({root}) is theirs to open.",
        hint="burnish status shows what the table itself says",
    )


def refuse_theirs(shown: str, root: str) -> None:
    """Raise UsageError for a journal of another user, unless they let this one in (as root is, and a group may be)."""
    for folder in (root, os.path.dirname(root)):
        try:
            owner = os.stat(folder).st_uid
        except PermissionError:
            continue  # the one around it is closed
        except OSError:
            return
        if owner != os.geteuid() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            found = made_by_another(shown, root, folder)
            raise theirs(shown, root, owner) if found is None else UsageError(found[0], hint=found[1])
        return


def made_by_another(shown: str, root: str, path: str) -> tuple[str, str] | None:
    """What is said of what another user's burnish (that of sudo, mostly) has left at `path` in the journal `root` of a table of
    this user's, and what helps; None if it is not that.
    """
    home = os.path.dirname(root)
    table = _table(root)
    while path != home and not os.path.lexists(path):
        path = os.path.dirname(path)
    try:
        owner, me = os.lstat(path).st_uid, os.stat(table).st_uid
    except OSError:
        return None
    if owner == me or me != os.geteuid():
        return None
    return (
        f"{path} belongs to {_name(owner)}, who ran burnish here (with sudo?), and {shown} to you ({_name(me)}): its journal "
        "cannot be opened.",
        _way_back(home),
    )


def refuse_their_logs(folder: str) -> None:
    """Raise StoreError if another user (that of sudo, mostly) keeps this one from logs in `folder`, which may be missing."""
    me = os.geteuid()
    folder = os.path.realpath(folder)  # or a link would count as made by whoever owns what it leads to
    around = os.path.dirname(folder)
    there = folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    try:
        found = os.stat(there)
        owner = found.st_uid
        if owner == me or os.access(there, os.W_OK | os.X_OK):
            return
        if not stat.S_ISDIR(found.st_mode) or os.statvfs(there).f_flag & os.ST_RDONLY:
            return  # whoever owns it; a run says what it is, or waits for the disk
        top = folder if there == folder and os.stat(around).st_uid == me else around
        made_here = there in (folder, around) and os.stat(os.path.dirname(top)).st_uid == me
    except OSError:
        return  # whoever makes it says why not
    if not made_here:
        raise StoreError(
            f"{there} belongs to {_name(owner)}, and you may not write logs there. Nothing was started.",
            hint="name another folder with --log_dir",
        )
    raise StoreError(
        f"{there} belongs to {_name(owner)}, who ran burnish here (with sudo?), and you ({_name(me)}) may not write logs there. "
        "Nothing was started.",
        hint=_way_back(top),
    )


def _table(root: str) -> str:
    """The table whose journal is in `root`."""
    home, name = os.path.split(root)
    return os.path.join(os.path.dirname(home), name)


def _made_in_ones_own(table: str, owner: int) -> str | None:
    """What gives this user the table that another (`owner`) made in a folder of theirs, and the journals beside it; None if the
    folder is not this user's.
    """
    folder = os.path.dirname(table)
    try:
        if owner == os.geteuid() or os.stat(folder).st_uid != os.geteuid():
            return None
    except OSError:
        return None
    return _way_back(*filter(os.path.exists, (table, os.path.join(folder, ".burnish"))))


def _made_by(shown: str, owner: int) -> str:
    me = _name(os.geteuid())
    return f"{shown} belongs to {_name(owner)}, who ran burnish here (with sudo?), and its folder to you ({me})"


def _way_back(*paths: str) -> str:
    """What gives `paths` to this user: typed by root, so nothing else may be meant by it."""
    import shlex

    me = os.geteuid()
    return (
        f"sudo chown -R {_account(me) or me}: {shlex.join(paths)} gives {'them' if paths[1:] else 'it'} to you; then run burnish "
        "without sudo"
    )


def _name(user: int) -> str:
    return _account(user) or f"user {user}"


def _account(user: int) -> str | None:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def read_only(shown: str, path: str) -> StoreError | None:
    """The refusal to replace a table that its owner, or whoever mounted its file system, made read-only; or None."""
    if os.access(path, os.W_OK):
        return None
    try:
        mounted_so, owner = os.statvfs(path).f_flag & os.ST_RDONLY, os.stat(path).st_uid
    except OSError:
        mounted_so, owner = 0, os.geteuid()
    import shlex

    if mounted_so:
        return StoreError(
            f"{shown}: {_WHY[errno.EROFS]}, and burnish keeps the states of jobs in it. Nothing was changed.",
            hint=f"findmnt --target {shlex.quote(shown)} names the mount",
        )
    kept = "you may not write it, and burnish keeps the states of jobs in it. Nothing was changed."
    if (hint := _made_in_ones_own(os.path.realpath(path), owner)) is not None:
        return StoreError(f"{_made_by(shown, owner)}: {kept}", hint=hint)
    if owner != os.geteuid():
        return StoreError(
            f"{shown} belongs to {_name(owner)}: {kept}", hint="burnish status shows what the table itself says"
        )
    return StoreError(f"{shown}: {kept}", hint=f"chmod u+rw {shlex.quote(shown)}")
