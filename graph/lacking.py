"""Makes do with a history that lacks some blobs: for measuring on stored snapshots, whose largest files are left out.

Everywhere else an incomplete history is refused, because what is not there cannot be told from what never was. A benchmark over fixed rows would lose
every row of a repository for one picture that nobody asks about. So here commits and trees must be whole, the blobs that are missing are listed, and
in our mirror each is stood in for by a file that git takes for binary: changes of it are known by path only, as those of any binary file. Such a mirror
is kept apart from the whole ones, and no other command ever opens it.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

from backstory.errors import UserError
from backstory.graph.git import Git
from backstory.graph.types import Oid

LIST = "backstory-lacking"
MOST = 1_000  # blobs that may be missing; where more are, what is left says little
STAND_IN = b"\0missing\n"
"""What a missing blob is taken to hold; the NUL makes it binary."""


def missing_blobs(git: Git, wanted: bytes) -> list[Oid]:
    """Return the blobs that are not there of what some revisions reach. wanted: revisions as `git rev-list --stdin` takes them.

    Raises GitError when a commit or a tree is missing, UserError when too many blobs are.
    """
    with git.stream("rev-list", "--objects", "--missing=print", "--stdin", stdin=wanted) as listed:
        missing = [Oid(line[1:].strip().decode("ascii")) for line in listed if line.startswith(b"?")]
    with git.stream("rev-list", "--objects", "--filter=blob:none", "--stdin", stdin=wanted) as trees:  # fails when one is missing
        while trees.read(1 << 20):
            pass
    if len(missing) > MOST:
        raise UserError(f"history incomplete: {len(missing)} files are missing, more than can be made do without; make a complete clone")
    return missing


def stand_in(git_dir: Path, missing: Sequence[Oid]) -> None:
    """Write a loose object under the id of each missing blob, and list them. Git reads one without asking whether its id fits."""
    for oid in missing:
        path = git_dir / "objects" / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(b"blob %d\0" % len(STAND_IN) + STAND_IN))
    (git_dir / LIST).write_text("".join(f"{oid}\n" for oid in sorted(lacking(git_dir) | set(missing))), "ascii")


def lacking(git_dir: Path) -> frozenset[Oid]:
    """Return the blobs a mirror has only stand-ins for."""
    try:
        return frozenset(map(Oid, (git_dir / LIST).read_text("ascii").split()))
    except FileNotFoundError:
        return frozenset()
