"""`origin` and `fixes` on real repositories, in processes of their own."""

import json
import sys

import pytest

from command import CommandLine
from fixing import CHECK, CULPRIT, broken
from repos import Repo

START = """import os


def parse(text):
    parts = text.strip().split('-')
    return [int(part) for part in parts]


def show(parts):
    return '-'.join(parts)
"""
BROKEN = START.replace("text.strip().split('-')", "text.split('-')")
SHOWN = BROKEN.replace("'-'.join(parts)", "'-'.join(map(str, parts))")
MENDED = SHOWN.replace("text.split('-')", "text.strip().split('-', 2)")
GUARD = MENDED.replace("    return [int", "    if not parts:\n        return []\n    return [int")
ASIDE = MENDED.replace("'-'.join", "'/'.join")


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    return CommandLine(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A parser that a commit broke and another mended, with what else may be named as a fix and is none. No test changes it."""
    repo = Repo(tmp_path_factory.mktemp("origin") / "repo")
    repo.commit("Parse dates", {"src/dates.py": START, "a.bin": b"\0\1"})
    repo.commit("Describe it", {"README": "dates\n"})
    repo.git("tag", "broke", repo.commit("Split at once", {"src/dates.py": BROKEN}))
    repo.commit("Show more", {"src/dates.py": SHOWN})
    broke = repo.git("rev-parse", "--short=10", "broke")
    repo.commit(f"Fix blanks around dates (CVE-2020-12345)\n\nIntroduced in {broke}.", {"src/dates.py": MENDED})
    repo.git("tag", "mended")
    repo.git("tag", "guarded", repo.commit("Fix the empty date", {"src/dates.py": GUARD}))
    repo.git("tag", "new", repo.commit("Add money", {"src/money.py": "def price():\n    return 3\n"}))
    repo.git("mv", "src/money.py", "src/prices.py")
    repo.git("tag", "renamed", repo.commit("Rename"))
    repo.git("tag", "binary", repo.commit("Fix the picture", {"a.bin": b"\0\2"}))
    repo.git("tag", "empty", repo.commit("Nothing"))
    repo.git("checkout", "-q", "-b", "side", "mended")
    repo.git("tag", "aside", repo.commit("Fix show", {"src/dates.py": ASIDE}))
    repo.git("checkout", "-q", "main")
    repo.git("tag", "merged", repo.merge("side", "Merge side"))
    return repo


def test_the_commit_that_wrote_the_removed_line_comes_first(cli, repo):
    """The object has the documented shape; the culprit is first with its reasons, and probabilities sum to 1."""
    told = json.loads(cli("origin", "mended", "--repo", repo.root, "--json", "--redact").out)
    assert list(told) == ["at", "fix", "base", "files", "redacted", "candidates", "count", "seconds"]
    assert (told["fix"], told["base"], told["files"], told["redacted"]) == (
        repo.git("rev-parse", "mended"),
        repo.git("rev-parse", "mended~1"),
        ["src/dates.py"],
        True,
    )
    first = told["candidates"][0]
    assert list(first) == ["commit", "when", "author", "is_bot", "subject", "probability", "rung", "why"]
    assert (first["commit"], first["subject"], first["rung"]) == (repo.git("rev-parse", "broke"), "Split at once", "blamed")
    assert {"kind": "blamed", "ref": first["commit"], "note": "wrote 1 of the 1 lines taken out"} in first["why"]
    assert sum(one["probability"] for one in told["candidates"]) == pytest.approx(1, abs=1e-4)
    assert told["count"] == len(told["candidates"]) == 3


def test_nothing_later_than_the_fix_is_a_candidate(cli, repo):
    """Neither the fix nor any commit after its parent is named, though the graph holds them."""
    told = json.loads(cli("origin", "mended", "--repo", repo.root, "--json").out)
    before = set(repo.git("rev-list", "mended~1").split())
    assert {one["commit"] for one in told["candidates"]} <= before


def test_the_message_is_believed_unless_it_is_redacted(cli, repo):
    """A commit that the fix's message blames is said to be blamed by it; with --redact that is not read."""
    named = json.loads(cli("origin", "mended", "--repo", repo.root, "--json").out)["candidates"][0]
    assert named["rung"] == "named" and named["why"][0]["note"] == "the fix's message blames it"
    hidden = cli("origin", "mended", "--repo", repo.root, "--redact").out
    assert "blames" not in hidden and "Split at once" in hidden.splitlines()[0]


def test_an_insertion_is_traced_by_what_stands_beside_it(cli, repo):
    """A fix that takes nothing out has candidates from the lines around it and from the function it changes."""
    told = json.loads(cli("origin", "guarded", "--repo", repo.root, "--json").out)
    kinds = {reason["kind"] for one in told["candidates"] for reason in one["why"]}
    assert {"beside", "function", "file"} <= kinds and "blamed" not in kinds
    assert told["candidates"][0]["commit"] == repo.git("rev-parse", "mended")


def test_lines_are_traced_without_a_fix(cli, repo):
    """Faulty lines at HEAD or at a commit stand for what a fix would take out."""
    told = json.loads(cli("origin", "--lines", "src/dates.py:5", "--at", "broke", "--repo", repo.root, "--json").out)
    assert (told["fix"], told["base"]) == (None, repo.git("rev-parse", "broke"))
    assert told["candidates"][0]["subject"] == "Split at once"
    assert (
        cli("origin", "--lines", "dates.py:5", cwd=repo.root / "src")
        .out.splitlines()[0]
        .endswith("Fix blanks around dates (CVE-2020-12345) [Ada]")
    )


def test_a_fix_that_head_does_not_reach_is_looked_at_from_itself(cli, repo, tmp_path):
    """A commit of another branch may be asked about; from a commit that does not reach it, it may not."""
    repo.git("clone", "-q", "--branch", "guarded", ".", str(tmp_path / "clone"))
    assert "Parse dates" in cli("origin", "aside", "--repo", tmp_path / "clone").out
    ended = cli("origin", "aside", "--at", "guarded", "--repo", repo.root)
    assert ended.exit_code == 2 and "is no ancestor of 'guarded'" in ended.error


def test_a_fix_of_a_file_deleted_since_is_traced(cli, tmp_path):
    """What is gone at HEAD was there at the fix."""
    repo = Repo(tmp_path / "repo")
    repo.commit("Begin", {"a.py": "x = f(1)\n"})
    fix = repo.commit("Fix", {"a.py": "x = f(2)\n"})
    repo.commit("Drop it", {"a.py": None})
    told = json.loads(cli("origin", fix, "--repo", repo.root, "--json").out)
    assert [one["subject"] for one in told["candidates"]] == ["Begin"]


@pytest.mark.parametrize(
    ("fix", "said"),
    [
        ("merged", "is a merge, which mends nothing by itself"),
        ("broke~2", "is the first commit"),
        ("new", "only adds files"),
        ("renamed", "only renames files"),
        ("binary", "changes no text that was there before"),
        ("empty", "changes no file"),
        ("nowhere", "no commit 'nowhere'"),
        ("", "what was given is empty"),
        (" ", "what was given is empty"),
    ],
)
def test_what_mends_nothing_that_can_be_followed_is_refused(cli, repo, fix, said):
    """One line says what is wrong and what to do; the exit code is that of wrong usage."""
    ended = cli("origin", fix, "--repo", repo.root)
    assert (ended.exit_code, ended.out) == (2, "") and said in ended.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of FIX, --lines PATH:FIRST-LAST and --check CMD"),
        (("mended", "--lines", "src/dates.py:1"), "give one of FIX"),
        (("--lines", "src/dates.py"), "names no lines"),
        (("--lines", "src/dates.py:99"), "there is no line 99"),
        (("--lines", "src/nothing.py:1"), "src/nothing.py"),
        (("--lines", "src/money.py:1"), "src/money.py"),  # renamed away before HEAD
    ],
)
def test_what_names_no_fault_is_refused(cli, repo, arguments, said):
    """Exactly one way to name a fault is taken, and lines must be there."""
    ended = cli("origin", *arguments, "--repo", repo.root)
    assert (ended.exit_code, ended.out) == (2, "") and said in ended.error


def test_hostile_subjects_cannot_drive_the_terminal(cli, tmp_path):
    """Control characters of a candidate's message are not printed."""
    repo = Repo(tmp_path / "repo")
    repo.commit("bad \x1b]0;title\x07subject", {"a\x1b[31m.py": "x = f(1)\n"})
    repo.commit("Fix x", {"a\x1b[31m.py": "x = f(2)\n"})
    ended = cli("origin", "HEAD", "--repo", repo.root)
    assert ended.exit_code == 0 and "\x1b" not in ended.out and "\x07" not in ended.out and "subject" in ended.out


def test_fixes_are_found_by_what_they_say_and_change(cli, repo):
    """A description finds the fix by its message and by the lines it changed; an advisory's id finds the commit that names it."""
    told = json.loads(cli("fixes", "blanks around a date", "--repo", repo.root, "--json").out)
    assert list(told) == ["at", "commits", "seconds"]
    assert list(told["commits"][0]) == ["commit", "when", "author", "is_bot", "subject", "score", "why"]
    assert told["commits"][0]["commit"] == repo.git("rev-parse", "mended")
    named = cli("fixes", "cve-2020-12345", "--repo", repo.root).out
    assert named.splitlines()[0].endswith("Fix blanks around dates (CVE-2020-12345) [Ada]") and "names CVE-2020-12345" in named
    older = json.loads(cli("fixes", "blanks", "--repo", repo.root, "--at", "broke", "--json").out)
    assert all(one["commit"] != repo.git("rev-parse", "mended") for one in older["commits"])


def test_a_text_without_a_match_has_no_fix(cli, repo):
    """Words that no commit uses end with a line that says so, and none is given to a program."""
    ended = cli("fixes", "zyxwv", "--repo", repo.root)
    assert (ended.exit_code, ended.out) == (0, "no commit shares a word with the text; name a function, a file or an error message in it\n")
    assert json.loads(cli("fixes", "zyxwv", "--repo", repo.root, "--json").out)["commits"] == []
    assert cli("fixes", "", "--repo", repo.root).exit_code == 2


@pytest.mark.sandbox
@pytest.mark.slow
def test_a_check_is_searched_for_the_commit_that_broke_it(tmp_path):
    """The commit at which a check begins to fail is found, proven and recorded as a run; nothing is repaired."""
    repo = broken(tmp_path / "repo")
    cli = CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)
    ended = cli("origin", "--check", CHECK, "--repo", repo.root, "--json")
    told = json.loads(ended.out)
    assert ended.exit_code == 0
    assert (told["blamed"]["subject"], told["blamed"]["status"]) == (CULPRIT, "confirmed")
    assert {one["outcome"] for one in told["tested"]} == {"good", "bad"}
    assert "patch" not in told and told["reason"].startswith("the commit that broke the check was found")
    lines = cli("origin", "--check", CHECK, "--repo", repo.root).out.splitlines()
    assert lines[0].startswith("blamed: ") and CULPRIT in lines[0]
    assert json.loads(cli("replay", "last", "--json").out)["same"] is True


@pytest.mark.sandbox
@pytest.mark.slow
def test_a_check_that_passes_shows_no_fault(tmp_path):
    """Without a failing check there is nothing to search for; suspects are handed over all the same."""
    repo = broken(tmp_path / "repo")
    cli = CommandLine(tmp_path / "home", VIRTUAL_ENV=sys.prefix)
    ended = cli("origin", "--check", "python -c pass", "--repo", repo.root)
    assert ended.exit_code == 3 and "no commit found" in ended.out and "passes at the base" in ended.out and "suspects" in ended.out
