"""The user's repository, looked at without starting a program.

Git runs what a repository's configuration names: fsmonitor on status, filters on a diff, helpers on a lazy fetch. libgit2 has none of that, so
everything here goes through it. Nothing is ever written: not the index, not a ref, not an object. What is found is a `Source`, from which
`backstory.graph.mirror` copies the commits that may be seen.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ReferenceType, RepositoryOpenFlag, RepositoryState

from backstory.errors import UserError
from backstory.graph.encoding import path_text
from backstory.graph.types import Oid, RepoPath

OBJECT_FORMAT = "sha1"
REMEDY_INCOMPLETE = "make a complete clone (without --filter), or run `git fsck` there to see what is damaged"
# Extensions of a repository's config that change nothing for a reader that never writes; libgit2 refuses any it was not told of.
HARMLESS_EXTENSIONS = ("partialclone", "relativeworktrees")

_OPERATIONS = {
    RepositoryState.MERGE: "merge",
    RepositoryState.REVERT: "revert",
    RepositoryState.REVERT_SEQUENCE: "revert",
    RepositoryState.CHERRYPICK: "cherry-pick",
    RepositoryState.CHERRYPICK_SEQUENCE: "cherry-pick",
    RepositoryState.BISECT: "bisect",
    RepositoryState.REBASE: "rebase",
    RepositoryState.REBASE_INTERACTIVE: "rebase",
    RepositoryState.REBASE_MERGE: "rebase",
    RepositoryState.APPLY_MAILBOX: "am",
    RepositoryState.APPLY_MAILBOX_OR_REBASE: "am",
}
_STEP = re.compile(r"([~^])(\d{0,6})")
_STEPS = re.compile(r"([^~^]+)((?:[~^]\d{0,6})+)")
SUBMODULES_NAMED = 5
NEAR_COMMITS = 5_000  # a tenth of a second to walk; with more new commits, walking all of a history of ten times as many is no great loss
PATHS_NAMED = 10  # uncommitted ones; what a line has room for


@dataclass(frozen=True)
class Source:
    """A repository of the user's.

    path: what the user named. work_tree: the checkout's root, None for a bare repository. git_dir: where objects and refs are; for a linked
    worktree the main repository's. own_git_dir: where HEAD and the index are; the same but in a linked worktree.
    head: None when HEAD names a branch without commits. operation: "merge", "rebase", "cherry-pick", "revert", "bisect" or "am" when one is
    in progress. shallow: the history is cut. submodules: where they are; they are never entered.
    """

    path: Path
    work_tree: Path | None
    git_dir: Path
    own_git_dir: Path
    head: Oid | None
    operation: str | None
    shallow: bool
    submodules: tuple[RepoPath, ...]


@dataclass(frozen=True)
class Ancestry:
    """What one commit can reach. roots: sorted; of a cut history, also the commits it is cut at. cut: those alone.
    tag: name and object of the newest tag within, None when there is none. commits: how many there are.
    """

    roots: tuple[Oid, ...]
    cut: tuple[Oid, ...]
    tag: tuple[str, Oid] | None
    commits: int

    @property
    def key(self) -> str:
        """What a repository is known by: the same for every clone that shares its beginnings; a cut history has its own."""
        said = [OBJECT_FORMAT, *self.roots, *(["shallow"] if self.cut else [])]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def open_source(path: Path) -> Source:
    """Find the repository that `path`, a folder or a file, lies in.

    Raises UserError when there is none, when it has no commits, or when libgit2 cannot read it (SHA-256, reftable).
    """
    own_git_dir, work_tree = _discover(path)
    repository = _open(own_git_dir, work_tree)
    if work_tree is not None and (repository.workdir is None or Path(repository.workdir).resolve() != work_tree):
        raise UserError(
            f"the git directory of {str(work_tree)!r} names another work tree, {repository.workdir!r};"
            " unset core.worktree or run `git worktree repair`, then try again"
        )
    git_dir = _common_dir(own_git_dir)
    head = _head(repository)
    if head is None and not any(True for _ in repository.raw_listall_references()):
        raise UserError(f"the repository {str(path)!r} has no commits; commit something first")
    return Source(
        path=path,
        work_tree=work_tree,
        git_dir=git_dir,
        own_git_dir=own_git_dir,
        head=head,
        operation=_OPERATIONS.get(RepositoryState(repository.state())),
        shallow=bool(_cut_points(git_dir)),
        submodules=_submodules(repository, head),
    )


def resolve(source: Source, revision: str) -> Oid:
    """Return the commit that `revision` names, in git's own notation (`HEAD~3`, a branch, a tag, a unique prefix).

    Raises UserError when it names nothing, something that is not a commit, or more than one commit.
    """
    repository = open_repository(source)
    if source.head is None and revision.upper().startswith("HEAD"):
        if not repository.head_is_unborn:
            raise UserError(f"HEAD of {str(source.path)!r} names a commit that cannot be read; `git fsck` there may tell more")
        raise UserError(f"HEAD of {str(source.path)!r} is a branch without commits; name a commit or another branch")
    named, steps = _split_steps(revision)
    try:
        oid = Oid(str(repository.revparse_single(named).peel(pygit2.Commit).id))
        for parent, generations in steps:
            for _ in range(generations):
                oid = Oid(_parents_and_time(repository, oid)[0][parent - 1]) if parent else oid
        return Oid(str(repository[oid].peel(pygit2.Commit).id))
    except IndexError as error:
        raise _unknown(source, revision) from error
    except ValueError as error:
        if "ambiguous" in str(error):
            raise UserError(f"{revision!r} names more than one commit in {str(source.path)!r}; give more digits") from error
        raise _unknown(source, revision) from error
    except (KeyError, pygit2.GitError, OSError) as error:
        raise _unknown(source, revision) from error


def committed_at(source: Source, oid: Oid) -> int:
    """Return when a commit was made, in seconds since 1970 as its committer says. Raises UserError when it cannot be read."""
    return _parents_and_time(open_repository(source), oid)[1]


def uncommitted(source: Source) -> tuple[RepoPath, ...]:
    """Return the paths that differ from HEAD, staged or not, and the untracked ones that are not ignored, sorted; none for a bare repository.

    Filters are not run, so a file whose committed form only a filter knows is listed when its time stamp is not the index's.
    Raises UserError when the index cannot be read.
    """
    if source.work_tree is None:
        return ()
    try:
        changed = open_repository(source).status(untracked_files="all", ignored=False)
    except (pygit2.GitError, KeyError, OSError, ValueError) as error:
        raise UserError(f"cannot read the index of {str(source.work_tree)!r} ({error}); `git status` there may tell more") from error
    return tuple(sorted(RepoPath(path.removesuffix("/")) for path in changed))


def in_short(source: Source, paths: Sequence[RepoPath]) -> str:
    """Name uncommitted paths for a person: a folder that holds nothing tracked stands for its files, as in `git status`, and the rest are counted."""
    tracked = {folder for entry in open_repository(source).index for folder in _folders(entry.path)}
    named = list(dict.fromkeys(next((folder for folder in _folders(path) if folder not in tracked), path) for path in paths))
    more = f" and {len(named) - PATHS_NAMED} more" if len(named) > PATHS_NAMED else ""
    return ", ".join(named[:PATHS_NAMED]) + more


def _folders(path: str) -> list[str]:
    """Return the folders above a path, outermost first, each with its `/`."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1)]


def circumstances(source: Source) -> tuple[str, ...]:
    """Return what a person should know about the repository before believing what is said of it."""
    notes = []
    if source.shallow:
        notes.append("the history is cut (a shallow clone); `git fetch --unshallow` brings the rest")
    if source.submodules:
        named = ", ".join(source.submodules[:SUBMODULES_NAMED])
        more = f" and {len(source.submodules) - SUBMODULES_NAMED} more" if len(source.submodules) > SUBMODULES_NAMED else ""
        notes.append(f"submodules are not entered: {named}{more}")
    if source.operation:
        notes.append(f"a {source.operation} is in progress in the checkout; what is looked at is a commit, so it does not matter here")
    return tuple(notes)


def ancestry(source: Source, at: Oid) -> Ancestry:
    """Walk everything reachable from `at`. Commits are read as stored, so replace refs and grafts have no say.

    Raises UserError when one is missing or damaged.
    """
    repository = open_repository(source)
    cut_points = _cut_points(source.git_dir)
    times: dict[str, int] = {}
    roots: set[Oid] = set()
    cut: set[Oid] = set()
    waiting = [str(at)]
    while waiting:
        oid = waiting.pop()
        if oid in times:
            continue
        parents, times[oid] = _parents_and_time(repository, oid)
        if oid in cut_points and parents:
            cut.add(Oid(oid))
            parents = []
        if not parents:
            roots.add(Oid(oid))
        waiting.extend(parent for parent in parents if parent not in times)
    tag = _newest_tag(repository, times.__contains__)
    return Ancestry(roots=tuple(sorted(roots)), cut=tuple(sorted(cut)), tag=tag, commits=len(times))


def walk_to(source: Source, at: Oid, is_held: Callable[[Oid], bool]) -> tuple[set[Oid], set[Oid]] | None:
    """Walk from `at` back to commits that are held already: return (the others, the held ones it ended at).

    None when it meets a beginning, or takes more than NEAR_COMMITS: what is held is then no past of `at` that would save anything.
    Raises UserError when a commit is missing or damaged.
    """
    repository = open_repository(source)
    others: set[Oid] = set()
    held: set[Oid] = set()
    waiting = [at]
    while waiting:
        oid = waiting.pop()
        if oid in others or oid in held:
            continue
        if is_held(oid):
            held.add(oid)
            continue
        others.add(oid)
        parents, _ = _parents_and_time(repository, oid)
        if not parents or len(others) > NEAR_COMMITS:
            return None
        waiting.extend(map(Oid, parents))
    return others, held


def newest_tag(source: Source, is_within: Callable[[str], bool]) -> tuple[str, Oid] | None:
    """Return name and object of the newest tag on a commit that is within; see `Ancestry.tag`."""
    return _newest_tag(open_repository(source), is_within)


def open_repository(source: Source) -> pygit2.Repository:
    """Return libgit2's handle on the user's repository: for reading only, and not to be kept longer than one question."""
    return _open(source.own_git_dir, source.work_tree)


def _split_steps(revision: str) -> tuple[str, list[tuple[int, int]]]:
    """Split `main~3^2` into the name and the steps back, each (which parent, how many generations).

    libgit2 would take them too, but along grafts.
    """
    found = _STEPS.fullmatch(revision)
    if found is None:
        return revision, []
    steps = _STEP.findall(found[2])
    return found[1], [(1, int(count or 1)) if mark == "~" else (int(count or 1), 1) for mark, count in steps]


# --- finding -------------------------------------------------------------------------------------------------------------------------


def _discover(path: Path) -> tuple[Path, Path | None]:
    """Return (git directory, work tree or None), looking at `path` and then upwards as git does."""
    if not path.exists():
        raise UserError(f"there is no {str(path)!r}; name a folder that holds a repository")
    start = path.resolve()
    for folder in [start, *start.parents]:
        marker = folder / ".git"
        if _is_git_dir(marker):
            return marker, folder
        if marker.is_file():
            return _follow_gitfile(marker), folder
        if _is_git_dir(folder):
            return folder, folder.parent if folder.name == ".git" else None
    raise UserError(f"{str(path)!r} is not in a git repository; name a checkout or a bare repository")


def _is_git_dir(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and ((folder / "objects").is_dir() or (folder / "commondir").is_file())


def _follow_gitfile(marker: Path) -> Path:
    said = marker.read_bytes()[:4096]
    target = (marker.parent / path_text(said.removeprefix(b"gitdir:").strip())).resolve()
    if not said.startswith(b"gitdir:") or not _is_git_dir(target):
        raise UserError(f"{str(marker)!r} does not lead to a git directory; run `git worktree repair` or clone anew")
    return target


def _common_dir(own_git_dir: Path) -> Path:
    """Return the git directory with the objects: a linked worktree's own one says where that is."""
    marker = own_git_dir / "commondir"
    if not marker.is_file():
        return own_git_dir
    return (own_git_dir / path_text(marker.read_bytes().strip())).resolve()


@cache
def _tell_libgit2() -> None:
    """Set libgit2's process-wide options, once."""
    pygit2.settings.owner_validation = False  # it guards against running what a stranger's config names, and libgit2 runs nothing
    pygit2.settings.set_extensions(list(HARMLESS_EXTENSIONS))


def _open(own_git_dir: Path, work_tree: Path | None) -> pygit2.Repository:
    _tell_libgit2()
    place = str(work_tree or own_git_dir)
    flags = RepositoryOpenFlag.NO_SEARCH if work_tree is not None else RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE
    try:
        return pygit2.Repository(place, flags)
    except (pygit2.GitError, KeyError, OSError, ValueError) as error:
        said = str(error)
        if "extension" in said or "object format" in said or "sha256" in said or "oid type" in said:
            raise UserError(
                f"{place!r} uses a repository format that is not supported yet ({said}); clone it as SHA-1 with files as refs"
            ) from error
        raise UserError(f"{place!r} cannot be read as a git repository ({said}); `git fsck` there may tell more") from error


# --- reading -------------------------------------------------------------------------------------------------------------------------


def _head(repository: pygit2.Repository) -> Oid | None:
    try:
        return Oid(str(repository.head.peel(pygit2.Commit).id))
    except (pygit2.GitError, KeyError, ValueError):
        return None


def _cut_points(git_dir: Path) -> frozenset[str]:
    """Return the commits a shallow clone ends at; they keep their parents' names but not their parents."""
    try:
        return frozenset((git_dir / "shallow").read_text("ascii").split())
    except FileNotFoundError:
        return frozenset()


def _submodules(repository: pygit2.Repository, head: Oid | None) -> tuple[RepoPath, ...]:
    """Return the submodules of HEAD's tree, sorted. A tree without `.gitmodules` is taken to have none."""
    try:
        tree = repository[head].peel(pygit2.Tree) if head is not None else None
        if tree is None or ".gitmodules" not in tree:
            return ()
        return tuple(sorted(path for path, entry in walk_tree(tree) if entry.filemode == FileMode.COMMIT))
    except (KeyError, pygit2.GitError, OSError):
        return ()  # an incomplete history is told where it is read


def walk_tree(tree: pygit2.Tree) -> Iterator[tuple[RepoPath, pygit2.Object]]:
    """Yield every entry of a tree that is not itself a tree, with its path, in git's order.

    Raises KeyError when a tree below is missing.
    """
    waiting = [(b"", iter(tree))]
    while waiting:
        prefix, entries = waiting[-1]
        for entry in entries:
            path = prefix + (entry.raw_name or b"")
            if entry.filemode == FileMode.TREE:
                waiting.append((path + b"/", iter(entry)))  # type: ignore[call-overload]
                break
            yield path_text(path), entry
        else:
            waiting.pop()


def _parents_and_time(repository: pygit2.Repository, oid: str) -> tuple[list[str], int]:
    """Return a commit's parents and committer time as its object says them."""
    try:
        _, content = repository.read(oid)
    except (KeyError, ValueError, pygit2.GitError, OSError) as error:
        raise UserError(f"history incomplete: commit {oid} is missing or damaged; {REMEDY_INCOMPLETE}") from error
    parents: list[str] = []
    for line in content.split(b"\n\n", 1)[0].split(b"\n"):
        if line.startswith(b"parent "):
            parents.append(line[7:47].decode("ascii", "replace"))
        elif line.startswith(b"committer "):
            try:
                return parents, int(line.rsplit(b" ", 2)[-2])
            except (ValueError, IndexError):
                return parents, 0
    return parents, 0


def _newest_tag(repository: pygit2.Repository, is_within: Callable[[str], bool]) -> tuple[str, Oid] | None:
    """Return the newest tag whose commit is within, of those with a digit first: tools that tell a version look for these."""
    candidates: list[tuple[bool, int, str, Oid, str]] = []
    for reference in repository.raw_listall_references():
        name = path_text(reference)
        if not name.startswith("refs/tags/"):
            continue
        try:
            tag = repository.references[name]
            target = tag.target
            commit = tag.peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError, OSError):
            continue  # a tag of a blob or a tree, or one whose commit a partial clone lacks
        if tag.type == ReferenceType.DIRECT:
            short = name.removeprefix("refs/tags/")
            has_digit = any(character.isdigit() for character in short)
            candidates.append((has_digit, commit.commit_time, short, Oid(str(target)), str(commit.id)))
    for _, _, short, oid, commit_id in sorted(candidates, reverse=True):
        if is_within(commit_id):
            return short, oid
    return None


def _unknown(source: Source, revision: str) -> UserError:
    return UserError(f"no commit {revision!r} in {str(source.path)!r}; fetch it or name another")
