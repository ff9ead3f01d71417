"""What became of a work tree after programs ran in it: changes that belong to the repository, told apart from what they left lying about.

Part of the repository are the files it tracks and new files that no list of scratch names and no ignore file names. Left out, and named, are
caches and build outputs, repositories within the repository, special files, links that lead out, and changes that a program made to the files that
steer git. What was written on purpose, through the workspace, is always part.
"""

import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from backstory.errors import SandboxError
from backstory.graph.mirror import TreeEntry
from backstory.graph.types import Oid, RepoPath
from backstory.tools.paths import facts_in_folder, is_dot_git, link_stays_inside, open_folder, read_in_folder, repo_path
from backstory.tools.scratch import CONTROL_FILES, is_scratch_file, is_scratch_folder
from backstory.tools.trees import EXECUTABLE, FILE, LINK, SUBMODULE, Folder, read_folder, walk
from backstory.tools.worktree import WorkTree

MAX_NEW_FILES = 10_000  # more new files than this are a program's output, not an edit
MAX_DEPTH = 100  # no source file lies so deep, and looking costs the square of it

Ignored = Callable[[Sequence[RepoPath]], Collection[RepoPath]]
"""Which of these new paths the repository's ignore files name."""

_BARE_REPOSITORY = frozenset({"HEAD", "objects", "refs"})
_NOTHING = Folder({}, {})


@dataclass(frozen=True)
class Seen:
    """How a work tree differs from the tree that was checked out.

    changes: the new entry of each path that differs (None: gone). left_out: what is there but no part of the repository, sorted; folders end in `/`.
    """

    changes: dict[RepoPath, TreeEntry | None]
    left_out: tuple[str, ...]


def survey(worktree: WorkTree, tree: Oid, *, written: Collection[RepoPath], ignored: Ignored) -> Seen:
    """Return how the files differ from `tree`, which was checked out last; new contents are stored as blobs.

    written: paths edited on purpose. ignored: asked at most once, and only about new files.
    """
    walker = _Survey(worktree, written, clock=worktree.clock())
    waiting: list[tuple[tuple[str, ...], Folder]] = [((), read_folder(worktree.repository, tree))]
    while waiting:
        parts, tracked = waiting.pop()
        waiting += walker.enter(parts, tracked)
    walker.add_new(ignored)
    return Seen(walker.changes, tuple(sorted(walker.left_out)))


@dataclass
class _Survey:
    """A walk through the work tree. new: what may turn out to be part of the repository."""

    worktree: WorkTree
    written: Collection[RepoPath]
    clock: int
    changes: dict[RepoPath, TreeEntry | None] = field(default_factory=dict)
    new: list[RepoPath] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def enter(self, parts: tuple[str, ...], tracked: Folder) -> list[tuple[tuple[str, ...], Folder]]:
        """Look at one folder; return those inside it that are to be entered."""
        inside: list[tuple[tuple[str, ...], Folder]] = []
        present: set[str] = set()
        with open_folder(self.worktree.root, parts) as descriptor:
            names = sorted(os.listdir(descriptor))  # noqa: PTH208 - of a descriptor
            if tracked is _NOTHING and (set(names) >= _BARE_REPOSITORY or any(is_dot_git(name) for name in names)):
                self.left_out.append(_joined(parts) + "/")
                return []
            for name in names:
                facts = facts_in_folder(descriptor, name)
                if facts is None or (name == ".git" and not parts):
                    continue
                if stat.S_ISDIR(facts.st_mode):
                    inner = self._folder(parts, name, tracked)
                    if inner is not None:
                        _make_readable(descriptor, name, facts)
                        present.add(name)
                        inside.append(((*parts, name), inner))
                elif name in tracked.files:
                    present.add(name)
                    self._tracked_file(descriptor, parts, name, facts, tracked.files[name])
                else:
                    self._new_file(descriptor, parts, name, facts)
        self._gone(parts, tracked, present)
        return inside

    def add_new(self, ignored: Ignored) -> None:
        """Store the new files that are not ignored."""
        asked = [path for path in self.new if path not in self.written]
        if len(asked) > MAX_NEW_FILES:
            unwanted = set(asked)
            self.left_out.append(f"{len(asked)} new files, more than an edit makes")
        else:
            unwanted = set(ignored(asked)) if asked else set()
            self.left_out += unwanted
        for path in self.new:
            if path in unwanted:
                continue
            *parts, name = path.split("/")
            with open_folder(self.worktree.root, parts) as descriptor:
                facts = facts_in_folder(descriptor, name)
                entry = self._read(descriptor, name, path, facts) if facts is not None else None
            if entry is None:
                self.left_out.append(path)
            else:
                self.changes[path] = entry

    def _folder(self, parts: tuple[str, ...], name: str, tracked: Folder) -> Folder | None:
        """Return what is tracked in the folder `name`, or None when it is not to be entered."""
        if name in tracked.folders:
            return read_folder(self.worktree.repository, tracked.folders[name])
        if name in tracked.files and tracked.files[name].mode == SUBMODULE:
            return None
        path = _joined((*parts, name))
        if (
            len(parts) < MAX_DEPTH
            and _speakable(path)
            and (not is_scratch_folder(name, top=not parts) or any(one.startswith(path + "/") for one in self.written))
        ):
            return _NOTHING
        self.left_out.append(path + "/")
        return None

    def _tracked_file(self, descriptor: int, parts: tuple[str, ...], name: str, facts: os.stat_result, entry: TreeEntry) -> None:
        path = RepoPath(_joined((*parts, name)))
        if entry.mode == SUBMODULE or self.worktree.holds(path, facts, entry):
            return
        now = self._read(descriptor, name, path, facts)
        if now is None or (now != entry and name in CONTROL_FILES and path not in self.written):
            self.left_out.append(path)
        elif now != entry:
            self.changes[path] = now
        else:
            self.worktree.learn(path, facts, entry, clock=self.clock)

    def _new_file(self, descriptor: int, parts: tuple[str, ...], name: str, facts: os.stat_result) -> None:
        path = _joined((*parts, name))
        scratch = is_scratch_file(name) or name in CONTROL_FILES
        if _speakable(path) and (not scratch or path in self.written):
            self.new.append(RepoPath(path))
        else:
            self.left_out.append(path)

    def _read(self, descriptor: int, name: str, path: str, facts: os.stat_result) -> TreeEntry | None:
        """Return the entry of a file as it is now, its contents stored; None when it is nothing a tree can hold."""
        if stat.S_ISLNK(facts.st_mode):
            target = os.fsencode(os.readlink(name, dir_fd=descriptor))
            return self._stored(LINK, target) if link_stays_inside(path, target) else None
        if not stat.S_ISREG(facts.st_mode):
            return None
        try:
            _make_readable(descriptor, name, facts)
            content = read_in_folder(descriptor, name, path)
        except (SandboxError, OSError):
            return None
        return self._stored(EXECUTABLE if facts.st_mode & stat.S_IXUSR else FILE, content)

    def _stored(self, mode: int, content: bytes) -> TreeEntry:
        return TreeEntry(mode, Oid(str(self.worktree.repository.create_blob(content))))

    def _gone(self, parts: tuple[str, ...], tracked: Folder, present: Collection[str]) -> None:
        """Note what the tree has here and the folder has not."""
        for name, entry in tracked.files.items():
            path = RepoPath(_joined((*parts, name)))
            if name in present or entry.mode == SUBMODULE:
                continue
            if name in CONTROL_FILES and path not in self.written:
                self.left_out.append(path)
            else:
                self.changes[path] = None
        for name in tracked.folders.keys() - present:
            for inner, below in walk(self.worktree.repository, tracked.folders[name]):
                for file, entry in below.files.items():
                    if entry.mode != SUBMODULE:
                        self.changes[RepoPath(_joined((*parts, name, *inner, file)))] = None


def _joined(parts: Sequence[str]) -> str:
    return "/".join(parts)


def _speakable(path: str) -> bool:
    """Return whether a path may be part of the repository."""
    try:
        repo_path(path)
    except SandboxError:
        return False
    return True


def _make_readable(descriptor: int, name: str, facts: os.stat_result) -> None:
    wanted = 0o700 if stat.S_ISDIR(facts.st_mode) else 0o400
    if facts.st_mode & wanted != wanted:
        os.chmod(name, stat.S_IMODE(facts.st_mode) | wanted, dir_fd=descriptor)
