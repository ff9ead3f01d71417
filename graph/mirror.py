"""The private copy of the past: a bare repository of our own that holds the ancestors of the commits we look at, and nothing else.

Git never runs on the user's repository. A *stage*, an empty repository of ours that borrows the user's objects (`objects/info/alternates`) and the
mirror's, stands between: what a commit reaches and the mirror lacks is packed there, straight into the mirror. So nothing reads the user's config,
hooks or attributes, no promisor is ever asked, only what the commit reaches comes along, and nothing depends on the user's repository afterwards.
A pack is complete: packing fails where an object is missing or damaged, and deltas the user's repository already has are copied as they are,
which is what makes it ten times cheaper than a fetch. In the mirror every attribute that could convert a file or name a program is switched off,
so what is checked out of it is byte for byte what was committed.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, RepositoryOpenFlag

from backstory.errors import StorageError, UserError
from backstory.graph.encoding import path_bytes
from backstory.graph.git import Git, GitError
from backstory.graph.lacking import STAND_IN, lacking, missing_blobs, stand_in
from backstory.graph.lock import exclusively
from backstory.graph.source import (
    REMEDY_INCOMPLETE,
    Source,
    ancestry,
    newest_tag,
    open_source,
    resolve,
    uncommitted,
    walk_to,
    walk_tree,
)
from backstory.graph.types import Hunk, Oid, RepoPath, Report, silent

__all__ = ["Mirror", "Source", "TreeEntry", "exclusively", "find_mirror", "open_mirror", "open_source", "resolve", "uncommitted"]

NO_CONVERSION = "* -text !eol -ident !filter !working-tree-encoding !diff !merge\n"
WHOLE, LACKING = "repos", "lacking"  # below the cache: mirrors that hold everything, and those that lack some blobs
BLOBS_KEPT = 8  # the versions at hand; each is of a source file's size, for larger ones are not compared
COMMIT_GRAPH_FROM = 2_000  # writing one takes 0.5 s for 60,000 commits; below this git is fast without
# No object is compared with another: what the user's repository holds as a delta is copied as one.
_PACKING = (
    "-c",
    "pack.window=0",
    "-c",
    "core.commitGraph=false",
    "pack-objects",
    "--revs",
    "--delta-base-offset",
    "--no-use-bitmap-index",
    "--progress",
)
_PERCENT = re.compile(r"(\w[\w ]*): +\d+% \((\d+)/(\d+)\)")


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a flattened tree. mode: 0o100644, 0o100755, 0o120000 (link) or 0o160000 (a submodule, whose `blob` is a commit not here)."""

    mode: int
    blob: Oid

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file, not a link or a submodule."""
        return self.mode in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE)


@dataclass(frozen=True)
class Mirror:
    """A bare repository below the cache folder. path: its git directory. key: what the repository is known by. shallow: its history is cut."""

    path: Path
    key: str
    git: Git
    shallow: bool

    @property
    def folder(self) -> Path:
        """The folder of everything kept about this repository: the mirror, the graph, the verdicts."""
        return self.path.parent

    def read_blob(self, oid: Oid) -> bytes:
        """Return a blob's bytes. Raises StorageError when the mirror does not hold it."""
        if oid in self._lacking:
            return STAND_IN
        return self._blob(oid).data

    def hunks(self, old: Oid, new: Oid) -> tuple[Hunk, ...] | None:
        """Return how one blob differs from another, with no context; None when either is binary. For single files: git is faster in bulk."""
        if old == new:
            return ()
        if not self._lacking.isdisjoint((old, new)):
            return None
        before, after = self._blob(old), self._blob(new)
        patch = before.diff(after, context_lines=0, interhunk_lines=0)  # type: ignore[call-arg]  # pygit2's stub lacks both
        if patch.delta.is_binary:
            return None
        return tuple(Hunk(hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines) for hunk in patch.hunks)

    def blob_size(self, oid: Oid) -> int:
        """Return how many bytes a blob has, without reading it. Raises StorageError when the mirror does not hold it."""
        if oid in self._lacking:
            return len(STAND_IN)
        try:
            return int(self._repository.odb.read_header(oid)[1])
        except (KeyError, ValueError, pygit2.GitError, OSError) as error:
            raise self._missing(oid) from error

    def tree(self, oid: Oid) -> Oid:
        """Return the tree of a commit; a tree is its own."""
        return Oid(str(self._tree(oid).id))

    def files(self, commit: Oid) -> Mapping[RepoPath, TreeEntry]:
        """Return everything in the tree of a commit (or in a tree), links and submodules included, in git's order."""
        return {path: TreeEntry(int(entry.filemode), Oid(str(entry.id))) for path, entry in walk_tree(self._tree(commit))}

    def entry_at(self, commit: Oid, path: RepoPath) -> TreeEntry | None:
        """Return what a commit (or tree) has at `path`, None when that is nothing or a folder."""
        found: pygit2.Object = self._tree(commit)
        for part in path_bytes(path).split(b"/"):
            if not isinstance(found, pygit2.Tree):
                return None
            child = _child(found, part)
            if child is None:
                return None
            found = child
        if found.filemode == FileMode.TREE:
            return None
        return TreeEntry(int(found.filemode), Oid(str(found.id)))

    def blob_at(self, commit: Oid, path: RepoPath) -> bytes | None:
        """Return the contents a commit (or tree) has at `path`, a link's target included; None when there is no file."""
        entry = self.entry_at(commit, path)
        return None if entry is None or entry.mode == FileMode.COMMIT else self.read_blob(entry.blob)

    def holds(self, oid: Oid) -> bool:
        """Return whether an object is in the mirror (which says nothing about whether a graph may show it)."""
        return oid in self._repository

    def nearest_tag(self, at: Oid) -> tuple[str, Oid] | None:
        """Return name and object of the newest tag `at` can reach, as it was when `at` was fetched; None when there was none."""
        folder = self.path / _tag_folder(at)
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.suffix != ".lock":
                return path.relative_to(folder).as_posix(), Oid(path.read_text().strip())
        return None

    @cached_property
    def _lacking(self) -> frozenset[Oid]:
        return lacking(self.path)

    @cached_property
    def _repository(self) -> pygit2.Repository:
        return pygit2.Repository(str(self.path), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE)

    def _blob(self, oid: Oid) -> pygit2.Blob:
        kept = self._newest
        found = kept.pop(oid, None) or self._object(oid)
        if not isinstance(found, pygit2.Blob):
            raise StorageError(f"{oid} is not a blob in {str(self.path)!r}; run `backstory cache clear` and try again")
        kept[oid] = found
        if len(kept) > BLOBS_KEPT:
            kept.pop(next(iter(kept)), None)
        return found

    @cached_property
    def _newest(self) -> dict[Oid, pygit2.Blob]:
        """The blobs read last, the newest at the end: who follows a place reads each version twice, once beside either neighbour."""
        return {}

    def _object(self, oid: Oid) -> pygit2.Object:
        try:
            return self._repository[oid]
        except (KeyError, ValueError, pygit2.GitError, OSError) as error:
            raise self._missing(oid) from error

    def _missing(self, oid: Oid) -> StorageError:
        return StorageError(f"{oid} is not in the mirror {str(self.path)!r}; run `backstory cache clear` and try again")

    def _tree(self, oid: Oid) -> pygit2.Tree:
        try:
            return self._object(oid).peel(pygit2.Tree)
        except (ValueError, pygit2.GitError) as error:
            raise StorageError(f"{oid} has no tree in {str(self.path)!r}; run `backstory cache clear` and try again") from error


def open_mirror(source: Source, at: Oid, *, cache_dir: Path, report: Report | None = None, may_lack_blobs: bool = False) -> Mirror:
    """Return the mirror that holds `at` and its ancestors, fetching what is missing; nothing runs when all is there.

    Safe to call from two processes at once: the second waits for the first. may_lack_blobs: make do with a history that lacks some
    (`backstory.graph.lacking`), which is kept apart from the whole ones.
    Raises UserError when the user's repository lacks objects, StorageError when the cache cannot be written.
    """
    found = find_mirror(source, at, cache_dir=cache_dir, may_lack_blobs=may_lack_blobs)
    if found is not None:
        return found
    try:
        return _opened(source, at, cache_dir.absolute() / WHOLE, report or silent, may_lack_blobs=False)
    except _Incomplete:
        if not may_lack_blobs:
            raise
    return _opened(source, at, cache_dir.absolute() / LACKING, report or silent, may_lack_blobs=True)


def _opened(source: Source, at: Oid, shelf: Path, report: Report, *, may_lack_blobs: bool) -> Mirror:
    near = None if source.shallow else _near(source, at, shelf)
    if near is not None:
        mirror, arrival = near
    else:
        reach = ancestry(source, at)
        mirror, arrival = _mirror(shelf / reach.key), _Arrival(reach.tag, reach.cut, reach.commits)
    with exclusively(mirror.folder / "mirror.lock"):
        if not (mirror.path / _ref(at)).is_file():
            _make(mirror)
            _fetch(mirror, source, at, arrival, report, may_lack_blobs=may_lack_blobs)
    return _mirror(mirror.folder)


class _Incomplete(UserError):
    """The user's repository lacks objects of the history."""


@dataclass(frozen=True)
class _Arrival:
    """What comes into a mirror with a commit. tag: its newest; cut: where its history ends; commits: how many there are."""

    tag: tuple[str, Oid] | None
    cut: tuple[Oid, ...]
    commits: int


def _near(source: Source, at: Oid, shelf: Path) -> tuple[Mirror, _Arrival] | None:
    """Return a mirror that holds most of what `at` reaches, and what is new; the whole history need not be walked then.

    A mirror that cannot be read is none; if it is the one that is needed, that is told where it is opened.
    """
    for folder in sorted(shelf.glob("*/mirror.git")):
        mirror = _mirror(folder.parent)
        if mirror.shallow or not any((folder / "refs" / "backstory" / "at").glob("*")):
            continue
        try:
            walked = walk_to(source, at, mirror.holds)
            if walked is not None:
                return mirror, _Arrival(newest_tag(source, partial(_is_within, mirror, *walked)), (), len(walked[0]))
        except (GitError, pygit2.GitError):
            continue
    return None


def _is_within(mirror: Mirror, new: Set[Oid], ends: Set[Oid], commit: str) -> bool:
    """Return whether a commit is one of the new ones, or is reached by those they build on."""
    return commit in new or _reaches(mirror, ends, Oid(commit))


def _reaches(mirror: Mirror, tips: Set[Oid], commit: Oid) -> bool:
    """Return whether one of `tips`, which the mirror holds, reaches a commit."""
    if not mirror.holds(commit):
        return False
    revisions = "".join(f"^{oid}\n" for oid in sorted(tips)) + f"{commit}\n"
    return not mirror.git.run("rev-list", "--max-count=1", "--stdin", stdin=revisions.encode())


def find_mirror(source: Source, at: Oid, *, cache_dir: Path, may_lack_blobs: bool = False) -> Mirror | None:
    """Return a mirror that already has `at`, without walking the history; None also when only the walk could tell.

    A commit's id says all its ancestors, so any complete mirror will do; where the source is cut the walk must say where.
    """
    if source.shallow:
        return None
    for shelf in (WHOLE, LACKING) if may_lack_blobs else (WHOLE,):
        for ref in sorted(cache_dir.absolute().glob(f"{shelf}/*/mirror.git/{_ref(at)}")):
            mirror = _mirror(ref.parents[4])
            if not mirror.shallow:
                return mirror
    return None


def _mirror(folder: Path) -> Mirror:
    path = folder / "mirror.git"
    return Mirror(path=path, key=folder.name, git=Git(path), shallow=(path / "shallow").is_file())


def _ref(at: Oid) -> str:
    return f"refs/backstory/at/{at}"


def _tag_folder(at: Oid) -> str:
    return f"refs/backstory/tags/{at}"


def _make(mirror: Mirror) -> None:
    """Make the empty mirror, or finish making it. Git's own template, with its sample hooks, is not used."""
    attributes = mirror.path / "info" / "attributes"
    if attributes.is_file():
        return
    try:
        shutil.rmtree(mirror.path, ignore_errors=True)  # half made, by a process that was killed or a disk that was full
        mirror.path.mkdir(parents=True)
        mirror.git.run("init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(mirror.path))
        attributes.parent.mkdir(exist_ok=True)
        _write(attributes, NO_CONVERSION)
    except (OSError, GitError) as error:
        raise _unwritable(mirror, error) from error


def _fetch(mirror: Mirror, source: Source, at: Oid, arrival: _Arrival, report: Report, *, may_lack_blobs: bool) -> None:
    """Bring `at`, its ancestors and its newest tag into the mirror."""
    report("mirror", 0, None)
    _forget_killed_fetch(mirror, at)
    refs = {_ref(at): at}
    if arrival.tag is not None:
        name, tag = arrival.tag
        refs[f"{_tag_folder(at)}/{name}"] = tag
    packs = mirror.path / "objects" / "pack"
    with _stage(mirror, source, arrival.cut) as stage:
        packs.mkdir(exist_ok=True)
        git = replace(mirror.git, git_dir=stage)
        try:
            wanted = "".join(f"{oid}\n" for oid in refs.values()) + "".join(f"^{oid}\n" for oid in _pins(mirror))
            if may_lack_blobs:
                stand_in(mirror.path, missing_blobs(git, wanted.encode()))
            packing = (*_PACKING, "--missing=allow-any") if may_lack_blobs else _PACKING
            git.follow(*packing, str(packs / "pack"), stdin=wanted.encode(), said=lambda line: _progress(line, report))
        except GitError as error:
            if not _is_whole(mirror):
                raise _is_damaged(mirror, error) from error
            raise _Incomplete(f"history incomplete: {error.complaint}; {REMEDY_INCOMPLETE}") from error
    if arrival.cut:
        _write(mirror.path / "shallow", "".join(f"{oid}\n" for oid in arrival.cut))
    # The refs come last, that of the commit very last: what has a ref is whole.
    updates = "".join(f"update {name} {oid}\n" for name, oid in reversed(refs.items()))
    try:
        mirror.git.run("update-ref", "--stdin", stdin=updates.encode("utf-8", "surrogateescape"))
    except GitError as error:  # what it said it had, and was not packed again, is not there
        raise _is_damaged(mirror, error) from error
    if arrival.commits >= COMMIT_GRAPH_FROM:
        mirror.git.run(
            "commit-graph", "write", "--reachable", "--split", "--no-progress", allowed=(0, 1, 128)
        )  # it only makes reads faster
    report("mirror", arrival.commits, arrival.commits)


def _pins(mirror: Mirror) -> list[Oid]:
    """Return the commits the mirror holds with all they reach."""
    return [Oid(line) for line in mirror.git.run("for-each-ref", "--format=%(objectname)", "refs/backstory/at").decode("ascii").split()]


def _is_whole(mirror: Mirror) -> bool:
    """Return whether everything the mirror says it has is there. Takes seconds for a large one, so it is asked when something has failed."""
    try:
        mirror.git.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    except GitError:
        return False
    return True


@contextmanager
def _stage(mirror: Mirror, source: Source, cut: tuple[Oid, ...]) -> Iterator[Path]:
    """Yield an empty repository that borrows the objects of `source` and of the mirror; it is removed afterwards.

    Written by hand: it is a few small files, and `git init` would be a process more.
    """
    try:
        stage = Path(tempfile.mkdtemp(prefix="stage-", dir=mirror.folder))
    except OSError as error:
        raise _unwritable(mirror, error) from error
    try:
        (stage / "refs").mkdir()
        (stage / "objects" / "info").mkdir(parents=True)
        _write(stage / "HEAD", "ref: refs/heads/none\n")
        # The user's commit-graph is not believed: it could name other parents than the commits do.
        _write(stage / "config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tcommitGraph = false\n")
        borrowed = [source.git_dir / "objects", mirror.path / "objects"]
        (stage / "objects" / "info" / "alternates").write_bytes(b"".join(map(alternate, borrowed)))
        if cut:
            _write(stage / "shallow", "".join(f"{oid}\n" for oid in cut))
        yield stage
    except OSError as error:
        raise _unwritable(mirror, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def alternate(objects: Path) -> bytes:
    """Return the line of an alternates file that names a folder; git unquotes a C string there, which any path can be written as."""
    raw = path_bytes(str(objects))
    quoted = b"".join(b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' or byte >= 0x7F else bytes([byte]) for byte in raw)
    return b'"' + quoted + b'"\n'


def _forget_killed_fetch(mirror: Mirror, at: Oid) -> None:
    """Remove what a killed fetch left behind; only a fetch writes these, and we hold its lock."""
    for name in (f"{_ref(at)}.lock", "shallow.lock"):
        (mirror.path / name).unlink(missing_ok=True)
    packs = mirror.path / "objects" / "pack"
    for leftover in (*packs.glob("tmp_*"), *(pack for pack in packs.glob("*.pack") if not pack.with_suffix(".idx").exists())):
        leftover.unlink(missing_ok=True)
    for stage in mirror.folder.glob("stage-*"):
        shutil.rmtree(stage, ignore_errors=True)


def _progress(line: str, report: Report) -> None:
    found = _PERCENT.search(line)
    if found is not None and found[1] in ("Counting objects", "Writing objects"):
        report("mirror: " + found[1].lower(), int(found[2]), int(found[3]))


def _child(tree: pygit2.Tree, name: bytes) -> pygit2.Object | None:
    """Return a tree's entry by the bytes of its name."""
    try:
        return tree[name.decode("utf-8")]
    except UnicodeDecodeError:
        return next((entry for entry in tree if entry.raw_name == name), None)
    except KeyError:
        return None


def _write(path: Path, content: str) -> None:
    path.write_text(content, "utf-8")


def _is_damaged(mirror: Mirror, error: GitError) -> StorageError:
    return StorageError(f"the mirror {str(mirror.path)!r} is damaged ({error.complaint}); run `backstory cache clear` and try again")


def _unwritable(mirror: Mirror, error: Exception) -> StorageError:
    return StorageError(f"cannot write the mirror {str(mirror.path)!r} ({error}); free some room or set BACKSTORY_CACHE_DIR")
