"""The small repository that programs in the sandbox find behind `.git`: one commit with the base's tree, and its nearest tag.

Tools that ask git for a version or for the list of files (setuptools_scm, `git ls-files`, a `git status` in a test) work, and nothing of the past,
of the mirror or of the user's repository is in reach. Identity and date are fixed, so the commit is the same in every run.
"""

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryOpenFlag

from backstory.errors import StorageError, UserError
from backstory.graph.git import GitError
from backstory.graph.mirror import Mirror, alternate
from backstory.graph.types import Oid
from backstory.tools.paths import disk_errors

BRANCH = "refs/heads/main"
MESSAGE = "The state of the repository that is worked on\n"
_WHO = pygit2.Signature("backstory", "backstory@localhost", 0, 0)
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfilemode = true\n[gc]\n\tauto = 0\n"


def build_cover(mirror: Mirror, base: Oid, target: Path) -> None:
    """Make the repository at `target` unless it is there; safe when two do it at once. Raises StorageError when it cannot be written."""
    if target.is_dir():
        return
    made = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with disk_errors(str(target)):
            _build(mirror, base, made)
            with suppress(OSError):  # somebody else was faster
                made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if not target.is_dir():
        raise StorageError(f"cannot write {str(target)!r}; free some room and try again")


def _build(mirror: Mirror, base: Oid, made: Path) -> None:
    (made / "objects" / "pack").mkdir(parents=True)
    (made / "refs" / "heads").mkdir(parents=True)
    (made / "refs" / "tags").mkdir()
    (made / "HEAD").write_text(f"ref: {BRANCH}\n")
    (made / "config").write_text(_CONFIG)
    # Packed from here, where the mirror's objects are lent meanwhile: in the mirror, a fetch takes a pack that is half written for what a killed one left.
    lent = made / "objects" / "info" / "alternates"
    lent.parent.mkdir()
    lent.write_bytes(alternate(mirror.path / "objects"))
    git = replace(mirror.git, git_dir=made)
    tree = mirror.tree(base)
    try:
        # The objects of the base's tree alone, as the mirror has them packed; window 0 looks for no better deltas.
        git.run("pack-objects", "-q", "--revs", "--window=0", str(made / "objects" / "pack" / "pack"), stdin=f"{tree}\n".encode())
    except GitError as error:
        raise UserError(
            f"the tree of {base} cannot be copied ({error.stderr.strip()[:200]}); check the repository with `git fsck`"
        ) from error
    lent.unlink()
    repository = pygit2.Repository(str(made), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)
    commit = repository.create_commit(BRANCH, _WHO, _WHO, MESSAGE, tree, [])
    tag = mirror.nearest_tag(base)
    if tag is not None:
        repository.references.create(f"refs/tags/{tag[0]}", commit)
    index = pygit2.Index(os.fspath(made / "index"))
    index.read_tree(repository[tree].peel(pygit2.Tree))
    index.write()
