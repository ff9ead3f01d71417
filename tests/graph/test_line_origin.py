"""One walk back over the stored history gives every line of every file the commit `git blame` gives it."""

import random

import pytest

from backstory.graph.build import build_graph
from backstory.graph.mirror import open_source
from backstory.graph.origin import ignored_commits, pack_origin, unpack_origin, within
from backstory.graph.types import Oid, RepoPath, Span
from repos import Repo

LINES = frozenset({"paths", "lines"})


def graph_of(repo, tmp_path, at=None, tiers=LINES):
    return build_graph(open_source(repo.root), Oid(at or repo.head), cache_dir=tmp_path / "cache", tiers=tiers)


def blamed(repo, path, *options, at="HEAD"):
    """Return the commit of each line as git says."""
    said = repo.git("blame", "--porcelain", *options, at, "--", path)
    return [line.split()[0] for line in said.splitlines() if len(line.split()) in (3, 4) and len(line.split()[0]) == 40]


def traced(graph, path):
    return [oid for span, oid in graph.origin(RepoPath(path)) for _ in range(span.first, span.last + 1)]


def grown(repo, chance, commits):
    """Grow a history of edits, insertions, removals, renames, copies of old contents, side branches, conflicts and an octopus."""
    files = {f"f{number}.txt": [f"{number}-{line}" for line in range(30)] for number in range(4)}

    def write(name):
        return {name: "\n".join(files[name]) + "\n"}

    repo.commit("start", {name: text for name in files for name, text in write(name).items()})
    for number in range(commits):
        name = chance.choice(sorted(files))
        lines = files[name]
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(lines))
            match chance.randrange(3):
                case 0:
                    lines[at] = f"changed {number} {chance.random()}"
                case 1:
                    lines[at:at] = [f"inserted {number} {part}" for part in range(chance.randrange(1, 4))]
                case 2 if len(lines) > 12:
                    del lines[at : at + 2]
        if number % 7 == 6:
            new = f"dir{number}/{name.rsplit('/')[-1]}"
            files[new] = files.pop(name)
            repo.write({name: None})
            name = new
        repo.commit(f"change {number}", write(name))
        if number % 6 == 3:
            other = chance.choice(sorted(files))
            before = (repo.root / other).read_text().splitlines()
            side = [*before[:2], f"side {number}", *before[2:]]
            repo.git("checkout", "-q", "-b", f"side{number}")
            repo.commit(f"side {number}", {other: "\n".join(side) + "\n"})
            repo.git("checkout", "-q", "main")
            ours = [*before[:-1], f"ours {number}"]
            repo.commit(f"ours {number}", {other: "\n".join(ours) + "\n"})
            repo.merge(f"side{number}", f"merge {number}")
            files[other] = (repo.root / other).read_text().splitlines()
    return files


@pytest.mark.parametrize("seed", range(3))
def test_all_lines_come_from_where_blame_says(tmp_path, seed):
    """Through edits, renames and merges of two sides, whole files are blamed as git blames them, at the tip and at an older commit."""
    repo = Repo(tmp_path / "repo")
    files = grown(repo, random.Random(seed), 30)
    graph = graph_of(repo, tmp_path)
    assert graph.origins() == len(graph.files()) == len(files)
    for path in graph.files():
        assert traced(graph, path) == blamed(repo, path), path
    older = graph_of(repo, tmp_path, graph.order()[20])
    older.origins()
    for path in older.files():
        assert traced(older, path) == blamed(repo, path, at=older.at), path


def test_a_merge_that_changes_a_file_itself_owns_what_no_parent_has(tmp_path):
    """Lines of a resolved conflict belong to the merge, the others to the side that wrote them; three parents are as good as two."""
    repo = Repo(tmp_path / "repo")
    lines = [f"line {number}\n" for number in range(20)]
    repo.commit("start", {"a.txt": "".join(lines), "b.txt": "".join(lines)})
    for side, place in (("one", 3), ("two", 10)):
        repo.git("checkout", "-q", "-b", side, "main")
        repo.commit(side, {"a.txt": "".join([*lines[:place], f"{side}\n", *lines[place:]])})
    repo.git("checkout", "-q", "main")
    repo.commit("ours", {"b.txt": "".join([*lines, "ours\n"])})
    both = [*lines[:3], "one\n", *lines[3:10], "two\n", "merged\n", *lines[10:]]
    repo.git("merge", "-q", "-s", "ours", "--no-commit", "one", "two")
    merge = repo.commit("join", {"a.txt": "".join(both)})
    assert len(repo.git("rev-list", "-1", "--parents", merge).split()) == 4
    graph = graph_of(repo, tmp_path)
    graph.origins()
    assert traced(graph, "a.txt") == blamed(repo, "a.txt") and merge in traced(graph, "a.txt")
    assert traced(graph, "b.txt") == blamed(repo, "b.txt")


def test_a_file_renamed_on_one_side_of_a_merge_is_traced_through_both(tmp_path):
    """What the other side did to it under its old name is found."""
    repo = Repo(tmp_path / "repo")
    lines = [f"line {number} of a longer file\n" for number in range(20)]
    repo.commit("start", {"old.txt": "".join(lines)})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("edit", {"old.txt": "".join([*lines[:15], "edited\n", *lines[15:]])})
    repo.git("checkout", "-q", "main")
    repo.commit("rename", {"old.txt": None, "new.txt": "".join([*lines[:2], "mine\n", *lines[2:]])})
    repo.merge("side", "join")
    graph = graph_of(repo, tmp_path)
    graph.origins()
    assert traced(graph, "new.txt") == blamed(repo, "new.txt")
    assert len(set(traced(graph, "new.txt"))) == 3


def test_commits_to_be_ignored_are_looked_through(tmp_path):
    """With the repository's list of commits to ignore, reworded lines belong to who wrote them first, as git says; what is new stays."""
    repo = Repo(tmp_path / "repo")
    lines = [f"value_{number} = compute({number}, 'x')\n" for number in range(8)]
    first = repo.commit("first", {"a.py": "".join(lines)})
    style = repo.commit("reformat", {"a.py": "".join(line.replace("'x'", '"x"') for line in lines) + "# the end of it\n"})
    repo.commit("list it", {".git-blame-ignore-revs": f"# formatting\n{style}  # black\n{'f' * 40}\n"})
    expected = blamed(repo, "a.py", "--ignore-rev", style)
    assert expected == [first] * 8 + [style]
    assert traced(graph_of(repo, tmp_path / "asked"), "a.py") == expected
    graph = graph_of(repo, tmp_path / "walked")
    graph.origins()
    assert traced(graph, "a.py") == expected
    assert ignored_commits(b"# x\nABC\n" + style.upper().encode() + b"\n") == {style}


def test_without_stored_hunks_versions_are_compared(tmp_path):
    """After the path tier alone, and for what is binary, empty or without a last newline, the answer is git's."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": "1\n2\n3", "empty": "", "bin": b"\0\n1\n"})
    repo.commit("two", {"a": "1\n2\n3\n4", "bin": b"\0\n2\n"})
    graph = graph_of(repo, tmp_path, tiers=frozenset({"paths"}))
    assert graph.origins() == 2
    assert traced(graph, "a") == blamed(repo, "a") and traced(graph, "empty") == []
    assert traced(graph, "bin") == blamed(repo, "bin")


def test_what_is_known_is_not_found_again(tmp_path):
    """A second walk has no files left to trace; spans are cut from what is kept; packing loses nothing."""
    repo = Repo(tmp_path / "repo")
    repo.commit("one", {"a": "1\n2\n3\n"})
    repo.commit("two", {"a": "1\n2\nx\n4\n"})
    graph = graph_of(repo, tmp_path)
    whole = graph.origin(RepoPath("a"))
    assert graph.origins() == 0
    assert graph.origin(RepoPath("a"), Span(2, 3)) == within(whole, Span(2, 3)) == [(Span(2, 2), whole[0][1]), (Span(3, 3), whole[1][1])]
    assert unpack_origin(pack_origin(whole)) == list(whole)


def test_commits_with_too_many_files_to_find_renames_in_are_told(tmp_path):
    """Where added and deleted files make more pairs than git compares, the commit is named."""
    repo = Repo(tmp_path / "repo")
    repo.commit("start", {f"a{number}": f"{number} alone\n" for number in range(4)})
    many = repo.commit(
        "move all", {**{f"a{number}": None for number in range(4)}, **{f"b{number}": f"other {number}\n" for number in range(4)}}
    )
    graph = graph_of(repo, tmp_path)
    assert list(graph.rename_limited(limit=3)) == [many] and list(graph.rename_limited()) == []
