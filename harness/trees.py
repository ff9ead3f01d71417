"""Which tree is judged: the base with a patch, and with the tests that judge it put in place.

Everything happens on git trees in the mirror, so what is judged has one id and no file of an earlier run is in it. The tests of the instance always
win: each path that the test patch touches is as the base and the test patch make it, whatever the patch did there. Ours goes further than the official
tree: other tests and what steers their runs (`conftest.py`, `pytest.ini`, ...) are those of the base too, unless the true patch changes them.
"""

import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backstory.agent.originals import restored
from backstory.errors import SandboxError, UserError
from backstory.graph.git import GitError
from backstory.graph.mirror import Mirror
from backstory.graph.types import Oid, RepoPath
from backstory.harness.instances import Instance
from backstory.harness.recipes import Recipe
from backstory.tools.limits import Limits
from backstory.tools.patch import write_tree
from backstory.tools.sandbox import SYSTEM_PATH
from backstory.tools.shell import execute
from backstory.tools.trees import LINK, changed_tree, differing, entry_at, objects, tree_of
from backstory.tools.unified import parse_patch

# What holds no tests, among the files of a test patch; whoever lists test files for a runner leaves these out.
_DATA_ENDS = (
    ".json",
    ".png",
    ".csv",
    ".txt",
    ".md",
    ".jpg",
    ".jpeg",
    ".pkl",
    ".yml",
    ".yaml",
    ".toml",
    ".rst",
    ".cfg",
    ".ini",
    ".xml",
    ".html",
)
_PATHS = re.compile(r"^diff --git a/.* b/(.*)$", re.MULTILINE)
# The official harness's last resort. Read as a unified diff whatever it looks like: other forms can make this program run an editor.
_FUZZY = ("patch", "--unified", "--fuzz=5", "--strip=1", "--batch", "--silent", "--no-backup-if-mismatch", "--reject-file=-", "--get=0")
_FUZZY_LIMITS = Limits(wall_s=60.0)
_NO_PROGRAM = 127  # the shell's exit code


@dataclass(frozen=True)
class Trees:
    """ours, official: the trees the two verdicts are about, mostly one and the same. applied: the base with the patch alone. tests: files to run.

    bare: ours without the tests, for a script that puts them in place itself; the other reading's is then `applied`.
    """

    ours: Oid
    official: Oid
    applied: Oid
    tests: tuple[RepoPath, ...]
    bare: Oid

    def without_tests(self) -> "Trees":
        """Return the same with the tests of the instance not in place."""
        return replace(self, ours=self.bare, official=self.applied)


def judged_trees(mirror: Mirror, instance: Instance, patch: str, *, runner: Collection[str] = ()) -> Trees | str:
    """Return the trees that `patch` is judged on, or why it cannot be applied. Raises UserError when the instance itself does not fit its base.

    runner: paths, folders with a `/` at the end, that run the tests and lie in the tree; ours are those of the base.
    """
    base = Oid(instance.base)
    repository = objects(mirror.path)
    with_tests = apply_patch(mirror, base, instance.test_patch)
    if not isinstance(with_tests, Tree):
        raise UserError(f"the test patch of {instance.id} does not apply to its base: {with_tests}")
    before, after = tree_of(repository, base), with_tests.oid
    placed = {path: entry_at(repository, after, path) for path in differing(repository, before, after)}
    applied = apply_patch(mirror, base, patch, fuzzy=True)
    if not isinstance(applied, Tree):
        return applied
    gold = apply_patch(mirror, base, instance.patch)
    of_gold = differing(repository, before, gold.oid) if isinstance(gold, Tree) else ()
    kept = {*of_gold, *placed}
    ours = restored(mirror, base, applied.oid, but=kept)
    steering = [path for path in differing(repository, before, ours) if path not in kept and _is_below(path, runner)]
    ours = changed_tree(repository, ours, {path: entry_at(repository, before, path) for path in steering})
    tests = [path for path in _named(instance.test_patch) if placed.get(path) is not None and not path.endswith(_DATA_ENDS)]
    return Trees(
        ours=changed_tree(repository, ours, placed),
        official=changed_tree(repository, applied.oid, placed),
        applied=applied.oid,
        tests=tuple(dict.fromkeys(tests)),
        bare=changed_tree(repository, ours, {path: entry_at(repository, before, path) for path in placed}),
    )


@dataclass(frozen=True)
class GivenCheck:
    """A check that shows the fault: one failing test of the instance. files: those of its test patch, with their contents."""

    command: str
    files: Mapping[RepoPath, bytes]


def first_check(mirror: Mirror, instance: Instance, recipe: Recipe) -> GivenCheck:
    """Return the first FAIL_TO_PASS test as a check, a parametrised one with all its parameters.

    Raises UserError where no file of the test patch has the test.
    """
    base = Oid(instance.base)
    repository = objects(mirror.path)
    with_tests = apply_patch(mirror, base, instance.test_patch)
    if not isinstance(with_tests, Tree):
        raise UserError(f"the test patch of {instance.id} does not apply to its base: {with_tests}")
    changed = differing(repository, tree_of(repository, base), with_tests.oid)
    files = {path: content for path in changed if (content := mirror.blob_at(with_tests.oid, path)) is not None}
    test = instance.fail_to_pass[0].partition("[")[0].rstrip()
    path, _, name = test.partition("::") if "::" in test else ("", "", test)
    holder = path or next((path for path, content in files.items() if re.search(rb"^\s*def %s\b" % name.encode(), content, re.M)), "")
    if not holder:
        raise UserError(f"no file of the test patch of {instance.id} has the test {test!r}")
    return GivenCheck(recipe.command_for(RepoPath(holder), name.split("::")), files)


@dataclass(frozen=True)
class Tree:
    """A tree in the mirror, told from a reason why there is none."""

    oid: Oid


def apply_patch(mirror: Mirror, base: Oid, patch: str, *, fuzzy: bool = False) -> Tree | str:
    """Return the tree that `patch` makes of `base`, or what git says against it.

    Tried as it stands, then as a merge with the blobs that it names. fuzzy: last, as the official harness does, by the program `patch`, which leaves
    out up to five lines of context; where a machine has no such program, the reason says so.
    """
    if not patch.strip():
        return Tree(tree_of(objects(mirror.path), base))
    content = (patch if patch.endswith("\n") else f"{patch}\n").encode("utf-8", "surrogateescape")
    said = ""
    with tempfile.TemporaryDirectory(prefix="backstory-index-") as folder:
        git = replace(mirror.git, index=Path(folder) / "index")
        for way in (("--cached",), ("--cached", "--3way")):
            git.run("read-tree", base)
            try:
                git.run("apply", *way, "--whitespace=nowarn", "-", stdin=content)
                return Tree(Oid(git.run("write-tree").decode().strip()))
            except GitError as error:
                said = said or error.complaint
    return _fuzzily_applied(mirror, base, content, said) if fuzzy else said


def _fuzzily_applied(mirror: Mirror, base: Oid, content: bytes, said: str) -> Tree | str:
    """Return the tree that GNU patch makes of `base`, or what git `said` where it cannot either.

    It sees the files that the patch names and no others, and only those are read back, with the modes they had; new ones are ordinary.
    """
    try:
        files = parse_patch(content)
    except (UserError, SandboxError):
        return said
    entries = {path: mirror.entry_at(base, path) for file in files for path in (file.was, file.path) if path is not None}
    if any(entry is not None and entry.mode == LINK for entry in entries.values()) or any(file.new_mode == f"{LINK:o}" for file in files):
        return said  # a link may lead out of the folder
    with tempfile.TemporaryDirectory(prefix="backstory-patch-") as name:
        folder = Path(name) / "files"
        folder.mkdir()
        for path in entries:
            before = mirror.blob_at(base, path)
            if before is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(before)
        (Path(name) / "patch").write_bytes(content)
        done = execute((*_FUZZY, "--input=../patch"), cwd=folder, env={"PATH": SYSTEM_PATH}, limits=_FUZZY_LIMITS)
        if done.exit_code == _NO_PROGRAM:
            return f"{said} (the program `patch` is not installed, with which the official harness would try next)"
        if done.exit_code != 0:
            return said
        edits = {path: (folder / path).read_bytes() if (folder / path).is_file() else None for path in entries}
    try:
        return Tree(write_tree(mirror, base, edits))
    except SandboxError:
        return said  # a submodule


def _is_below(path: RepoPath, places: Collection[str]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


def _named(patch: str) -> list[RepoPath]:
    """Return the paths a patch names, in its order: the order in which the official harness hands test files to the runner."""
    return [RepoPath(path) for path in _PATHS.findall(patch)]
