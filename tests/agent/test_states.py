"""A fix in every state a repository may be in: the patch is right, and of the user's checkout and git directory not one byte changes."""

import os
import shutil
import subprocess
import sys

import pytest

from backstory.agent.runs import fix
from backstory.errors import UserError
from fixing import ASKS, BAD, CULPRIT, GOOD, asked, broken, quiet, solved, state_of
from repos import Repo, git

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("built") / "repo"
    broken(root)
    return root


@pytest.fixture
def repo(built, tmp_path):
    """A copy of the broken repository that a test may bring into any state."""
    repo = Repo.__new__(Repo)
    repo.root, repo.time = tmp_path / "repo", 1_700_100_000
    shutil.copytree(built, repo.root, symlinks=True)
    repo.git("update-index", "-q", "--refresh")
    return repo


def mended(outcome, clone, check=("check.py",)):
    """Apply the patch as git does to a fresh clone of the base and run the check there."""
    assert (outcome.exit_code, outcome.solution.status) == (0, "verified"), outcome.solution.reason
    git(clone.parent, "clone", "-q", "--no-checkout", outcome.repo, str(clone))
    git(clone, "-c", "core.autocrlf=false", "checkout", "-q", "--detach", outcome.base)
    assert subprocess.run([sys.executable, *check], cwd=clone, capture_output=True).returncode != 0
    git(clone, "apply", "-", stdin=outcome.solution.patch.diff)
    done = subprocess.run([sys.executable, *check], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def unstaged(repo):
    repo.write({"prices.py": BAD + "# a thought\n", "README": None, "new.txt": "mine\n", ".gitignore": "ignored\n", "ignored": "x"})


def staged(repo):
    unstaged(repo)
    repo.git("add", "-A")
    repo.write({"prices.py": BAD + "# another thought\n"})


def stashed(repo):
    repo.write({"README": "put away\n"})
    repo.git("stash")


def merging(repo):
    repo.git("checkout", "-q", "-b", "side", "HEAD~1")
    repo.commit("Say it otherwise", {"README": "otherwise\n"})
    repo.git("checkout", "-q", "main")
    with pytest.raises(AssertionError):
        repo.git("merge", "side")
    assert (repo.root / ".git" / "MERGE_HEAD").exists()


def rebasing(repo):
    repo.git("checkout", "-q", "-b", "side", "HEAD~1")
    repo.commit("Say it otherwise", {"README": "otherwise\n"})
    with pytest.raises(AssertionError):
        repo.git("rebase", "main")
    assert (repo.root / ".git" / "rebase-merge").exists()


def picking(repo):
    repo.git("checkout", "-q", "--detach", "HEAD~1")
    repo.commit("Say it otherwise", {"README": "otherwise\n"})
    with pytest.raises(AssertionError):
        repo.git("cherry-pick", "main")


def detached(repo):
    repo.git("checkout", "-q", "--detach", "HEAD~1")


def locked(repo):
    (repo.root / ".git" / "index.lock").write_bytes(b"")


def packed(repo):
    repo.git("gc", "-q")


def without_an_index(repo):
    (repo.root / ".git" / "index").unlink()


@pytest.mark.parametrize(
    ("bring_into", "said"),
    [
        (lambda repo: None, ""),
        (unstaged, "uncommitted changes left out: .gitignore, README, new.txt, prices.py"),
        (staged, "uncommitted changes left out: .gitignore, README, new.txt, prices.py"),
        (stashed, ""),
        (merging, "uncommitted changes left out: README"),
        (rebasing, "uncommitted changes left out: README"),
        (picking, "uncommitted changes left out: README"),
        (detached, ""),
        (locked, ""),
        (packed, ""),
        (without_an_index, "uncommitted changes left out"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_checkout(repo, tmp_path, bring_into, said):
    """Whatever its state, the fault is found, and nothing in the checkout or its git directory changes."""
    bring_into(repo)
    before = state_of(repo.root)
    outcome = solved(repo.root, tmp_path / "home")
    assert state_of(repo.root) == before
    assert (outcome.exit_code, outcome.solution.blamed.subject, outcome.solution.blamed.status) == (0, CULPRIT, "confirmed")
    assert outcome.solution.patch.files == ("prices.py",)
    assert (said in "\n".join(outcome.notes)) if said else outcome.notes == ()


def test_the_patch_mends_a_fresh_clone(repo, tmp_path):
    """`git apply` takes the patch, and the check passes there."""
    mended(solved(repo.root, tmp_path / "home"), tmp_path / "clone")


def test_an_uncommitted_check_is_carried(repo, tmp_path):
    """The user's version of the file that --check names asks the question, on every commit; nothing else of the dirty tree counts."""
    repo.commit("Ask less", {"check.py": "pass\n"})
    repo.write({"check.py": ASKS, "prices.py": "raise SystemExit('half done')\n"})
    before = state_of(repo.root)
    outcome = solved(repo.root, tmp_path / "home")
    assert state_of(repo.root) == before
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)
    assert outcome.notes == ("carried from the checkout, uncommitted: check.py", "uncommitted changes left out: prices.py")
    assert outcome.solution.patch.files == ("prices.py",)


def test_an_untracked_check_is_carried(repo, tmp_path):
    """A new file that only the user has is laid over all commits."""
    repo.write({"asks/mine.py": "import sys\nsys.path.insert(0, '.')\n" + ASKS})
    outcome = solved(repo.root, tmp_path / "home", check="python asks/mine.py")
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)
    assert outcome.notes == ("carried from the checkout, uncommitted: asks/mine.py",)


def test_a_folder_below(repo, tmp_path):
    """A folder inside names the whole checkout; the check runs at its root."""
    repo.commit("A folder", {"deep/er/x.txt": "x\n"})
    outcome = solved(repo.root / "deep" / "er", tmp_path / "home")
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)


def test_a_bare_repository(repo, tmp_path):
    """There is no checkout; the check runs all the same."""
    git(tmp_path, "clone", "-q", "--bare", str(repo.root), "bare.git")
    before = state_of(tmp_path / "bare.git")
    mended(solved(tmp_path / "bare.git", tmp_path / "home"), tmp_path / "clone")
    assert state_of(tmp_path / "bare.git") == before


def test_a_shallow_clone(repo, tmp_path):
    """What can be found in the part of the history that is there is found, and it is said that the rest is missing."""
    git(tmp_path, "clone", "-q", "--depth", "4", f"file://{repo.root}", "shallow")
    before = state_of(tmp_path / "shallow")
    outcome = solved(tmp_path / "shallow", tmp_path / "home")
    assert state_of(tmp_path / "shallow") == before
    assert (outcome.exit_code, outcome.solution.blamed.subject, outcome.solution.blamed.status) == (0, CULPRIT, "confirmed")
    assert any("the history is cut (a shallow clone)" in note for note in outcome.notes)


def test_a_cut_that_hides_the_culprit(repo, tmp_path):
    """When the check fails back to the cut, nothing is blamed, and the cut is said."""
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{repo.root}", "shallow")
    outcome = solved(tmp_path / "shallow", tmp_path / "home")
    assert (outcome.exit_code, outcome.solution.blamed) == (3, None)
    assert "no tested ancestor passes the check (1 commit tested), but the history is cut" in outcome.solution.reason
    assert "not a regression" not in outcome.solution.reason
    assert any("the history is cut" in note for note in outcome.notes)


def test_submodules_are_not_entered(repo, tmp_path):
    """A submodule is an empty folder in the work trees, and is named."""
    other = Repo(tmp_path / "other")
    other.commit("other", {"inside.py": "x = 1\n"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "vendor/other")
    repo.commit("Add a submodule")
    before = state_of(repo.root)
    outcome = solved(repo.root, tmp_path / "home")
    assert state_of(repo.root) == before
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)
    assert outcome.notes == ("submodules are not entered: vendor/other",)


def test_a_linked_worktree(repo, tmp_path):
    """A worktree of the user's has its own HEAD and its own uncommitted check."""
    repo.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"), "HEAD~1")
    (tmp_path / "linked" / "check.py").write_text(ASKS + "# mine\n")
    before = state_of(repo.root), state_of(tmp_path / "linked")
    outcome = solved(tmp_path / "linked", tmp_path / "home")
    assert (state_of(repo.root), state_of(tmp_path / "linked")) == before
    assert outcome.base == repo.git("rev-parse", "linked")
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)
    assert outcome.notes == ("carried from the checkout, uncommitted: check.py",)


READS = """import pathlib
scope = {{}}
exec(compile(pathlib.Path({path!r}).read_bytes(), 'it', 'exec'), scope)
assert scope['total']([1, 2]) == 3
"""


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("prices.py", lambda text: text.replace("\n", "\r\n").encode()),
        ("prices.py", lambda text: text.rstrip("\n").encode()),
        ("prices.py", lambda text: b"# -*- coding: latin-1 -*-\nNAME = 'K\xe4se'\n" + text.encode()),
        ("prices.py", lambda text: b"\xef\xbb\xbf" + text.encode()),
        ("prices.py", lambda text: b"MIXED = 1\r\n" + text.encode()),
        ("größe/pri ces.py", str.encode),
        ("a\nb/'pri\t\"ces\\.py", str.encode),
        (os.fsdecode(b"pr\xff.py"), str.encode),
        ("-rf.py", str.encode),
        (":(top)prices.py", str.encode),
    ],
    ids=[
        "crlf",
        "no final newline",
        "latin-1",
        "byte order mark",
        "mixed",
        "non-ascii",
        "newline and quotes",
        "no utf-8",
        "dash",
        "pathspec",
    ],
)
def test_odd_files(tmp_path, path, change):
    """Bytes that are not the fault's stay as they are, whatever the file's ends of lines, encoding or name."""
    repo = Repo(tmp_path / "repo")
    check = READS.format(path=path).encode("utf-8", "surrogateescape")
    if "\xff" in path or "\udcff" in path:
        check = b"import os\n" + READS.format(path="@").replace("'@'", "os.fsdecode(b'pr\\xff.py')").encode()
    good, bad = change(GOOD), change(BAD)
    repo.commit("Sum prices", {path: good, "check.py": check})
    repo.commit(CULPRIT, {path: bad})
    repo.commit("Say more", {"README": "prices\n"})
    before = state_of(repo.root)
    outcome = solved(repo.root, tmp_path / "home", issue_text="total leaves out cheap things\n")
    assert state_of(repo.root) == before
    assert outcome.solution.blamed.subject == CULPRIT
    mended(outcome, tmp_path / "clone")
    assert (tmp_path / "clone" / path).read_bytes() == good


def test_symlinks_inside_the_tree(tmp_path):
    """Links of the tree are links in the work trees: one that points outside shows nothing of the machine, and is never written through."""
    outside = tmp_path / "outside.txt"
    outside.write_text("mine\n")
    repo = Repo(tmp_path / "repo")
    repo.write({"src/prices.py": GOOD})
    (repo.root / "prices.py").symlink_to("src/prices.py")
    (repo.root / "leads-out").symlink_to(outside)
    (repo.root / "leads-nowhere").symlink_to("nothing")
    seen = "import pathlib\nassert not pathlib.Path('leads-out').exists() and pathlib.Path('leads-out').is_symlink()\n"
    repo.commit("Sum prices", {"check.py": seen + ASKS})
    repo.commit(CULPRIT, {"src/prices.py": BAD})
    repo.commit("Say more", {"README": "prices\n"})
    before = state_of(repo.root)
    outcome = solved(repo.root, tmp_path / "home")
    assert state_of(repo.root) == before and outside.read_text() == "mine\n"
    assert (outcome.exit_code, outcome.solution.blamed.subject, outcome.solution.patch.files) == (0, CULPRIT, ("src/prices.py",))


def test_an_uncommitted_check_that_is_a_link_out_of_the_tree_is_refused(repo, tmp_path):
    """What lies outside the checkout is not carried into it."""
    (tmp_path / "secret.py").write_text("x = 1\n")
    (repo.root / "mine.py").symlink_to(tmp_path / "secret.py")
    with pytest.raises(UserError) as caught:
        solved(repo.root, tmp_path / "home", check="python mine.py")
    assert "mine.py" in str(caught.value) and "\n" not in str(caught.value)


def test_a_base_that_is_not_head(repo, tmp_path):
    """The base is the commit that was named; what came later is not looked at."""
    later = repo.commit("Mend it", {"prices.py": GOOD})
    outcome = fix(asked(repo.root, tmp_path / "home", base="HEAD~1"), report=quiet)
    assert (outcome.exit_code, outcome.solution.blamed.subject) == (0, CULPRIT)
    assert later not in str(outcome)
