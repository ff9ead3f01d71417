"""The tools that change a tree, on real trees of a real mirror; programs run in the real sandbox."""

from contextlib import contextmanager

import pytest

from backstory.tools.bounded import bounded
from backstory.tools.editing import editing_tools
from backstory.tools.tool import read_arguments
from judging import desk_of, graph_of
from repos import Repo

PY = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"


@contextmanager
def tools_on(tmp_path, files, kept=()):
    """Yield what calls a tool by name, and its desk."""
    repo = Repo(tmp_path / "repo")
    repo.commit("base", files)
    with graph_of(repo.root, tmp_path / "home") as graph, desk_of(graph, repo.root, tmp_path / "home", kept=kept) as desk:
        tools = {tool.name: tool for tool in editing_tools(desk, seconds_left=lambda: None)}

        def call(name, **written):
            arguments = read_arguments(tools[name], written)
            assert not isinstance(arguments, str), arguments
            observation = tools[name].run(arguments)
            desk.settle(desk.tree)
            return observation

        yield call, desk


class TestEdit:
    def test_text_that_occurs_once_is_replaced(self, tmp_path):
        """The file changes exactly there, the answer shows the lines, the checkpoint is named."""
        with tools_on(tmp_path, {"a.py": PY}) as (call, desk):
            seen = call("edit", path="a.py", old="return 2", new="return 22")
            assert desk.read("a.py") == PY.replace("return 2\n", "return 22\n").encode()
            assert seen.ok and seen.text == "edited a.py (checkpoint 1)\n3|\n4|\n5|def two():\n6|    return 22"
            assert desk.changed() == ("a.py",)

    @pytest.mark.parametrize(
        ("old", "said"),
        [
            ("return", "`old` occurs 2 times in a.py (lines 2, 6)"),
            ("def one():\n    return 3", "the nearest text is\n1|def one():\n2|    return 1\n3|\ncopy it exactly"),
            ("class Gone:\n    pass", "nothing there resembles it"),
            ("", "`old` is empty"),
            ("return 1", "are the same"),
        ],
    )
    def test_anything_else_changes_nothing_and_says_what_to_do(self, tmp_path, old, said):
        """Ambiguous, absent, empty and idle edits are answered; the tree stays."""
        with tools_on(tmp_path, {"a.py": PY}) as (call, desk):
            seen = call("edit", path="a.py", old=old, new="return 1")
            assert not seen.ok and said in seen.text
            assert desk.tree == desk.checkpoints[0]

    def test_copied_line_numbers_and_line_ends_are_understood(self, tmp_path):
        """A model copies the numbers it was shown, and writes LF for a CRLF file; both mean one thing only."""
        with tools_on(tmp_path, {"a.py": PY, "w.py": PY.replace("\n", "\r\n")}) as (call, desk):
            assert call("edit", path="a.py", old="5|def two():\n6|    return 2", new="5|def two():\n6|    return 3").ok
            assert desk.read("a.py") == PY.replace("return 2", "return 3").encode()
            assert call("edit", path="w.py", old="def two():\n    return 2", new="def two():\n    x = 3\n    return x").ok
            assert desk.read("w.py") == PY.replace("    return 2", "    x = 3\n    return x").replace("\n", "\r\n").encode()

    def test_bytes_around_the_edit_stay_as_they_are(self, tmp_path):
        """A file that is no UTF-8 and has no last newline keeps every other byte."""
        content = b"# caf\xe9\nx = 1\ny = 2"
        with tools_on(tmp_path, {"a.py": content}) as (call, desk):
            assert call("edit", path="a.py", old="x = 1", new="x = 3").ok
            assert desk.read("a.py") == b"# caf\xe9\nx = 3\ny = 2"

    def test_a_broken_syntax_is_told_at_once(self, tmp_path):
        """The edit stands, with a warning that names the line; a file that was broken before is not complained about."""
        with tools_on(tmp_path, {"a.py": PY, "b.py": "def (:\n  x\n"}) as (call, _):
            assert "warning: a.py no longer parses" in call("edit", path="a.py", old="def two():", new="def two(:").text
            assert "warning" not in call("edit", path="b.py", old="x", new="y").text

    @pytest.mark.parametrize("path", ["../out.py", "/etc/passwd", ".git/config", "link/new.py", "link", "a.py/b.py", "sub/.GIT/x"])
    def test_paths_that_lead_out_are_refused(self, tmp_path, path):
        """No edit leaves the tree, passes a link, or makes a folder of a file."""
        with tools_on(tmp_path, {"a.py": PY, "real/x.py": "1\n"}) as (call, desk):
            call("run", command="ln -s real link")
            tree = desk.tree
            for seen in (call("write", path=path, content="x"), call("edit", path=path, old="x", new="y"), call("write", path=path)):
                assert not seen.ok
            assert desk.tree == tree

    def test_the_checks_own_files_stay(self, tmp_path):
        """An edit of a kept file is refused; a program that changes one anyway is kept out of the patch, and that is told."""
        with tools_on(tmp_path, {"a.py": PY, "test_a.py": "def test(): assert False\n"}, kept=["test_a.py"]) as (call, desk):
            assert "belongs to the check" in call("write", path="test_a.py", content="def test(): pass\n").text
            call("run", command="echo 'def test(): pass' > test_a.py; echo 'x = 1' >> a.py")
            patch = desk.patch()
            assert (patch.files, patch.left_out) == (("a.py",), ("test_a.py",))
            assert desk.read("test_a.py", patch.tree) == b"def test(): assert False\n"


class TestWriteAndRevert:
    def test_files_come_and_go(self, tmp_path):
        """A new file, one rewritten, one deleted; each step can be gone back to."""
        with tools_on(tmp_path, {"a.py": PY}) as (call, desk):
            assert call("write", path="n/b.py", content="x = 1\n").text == "wrote n/b.py, 1 lines (checkpoint 1)"
            assert call("write", path="a.py").text == "deleted a.py (checkpoint 2)"
            assert desk.changed() == ("a.py", "n/b.py")
            assert call("revert", path="a.py").ok and desk.changed() == ("n/b.py",)
            assert "a.py, n/b.py differs" in call("revert", checkpoint=2).text
            assert "nothing differs" in call("revert", checkpoint=0).text and desk.changed() == ()
            assert not call("revert", checkpoint=99).ok
            assert not call("revert").ok
            assert not call("revert", path="a.py").ok
            assert not call("write", path="gone.py").ok
            assert not call("write", path="a.py", content=PY).ok


class TestRun:
    def test_a_program_sees_the_tree_and_what_it_changes_stays(self, tmp_path):
        """Edits are there, its exit code and output come back, source files it makes are in the next tree, caches are not."""
        with tools_on(tmp_path, {"a.py": PY, ".gitignore": "*.log\n"}) as (call, desk):
            call("edit", path="a.py", old="return 2", new="return 7")
            seen = call("run", command="python -c 'import a; print(a.two())'; echo y > made.py; echo z > x.log; exit 3")
            assert (seen.exit_code, seen.ok) == (3, False)
            assert seen.text.startswith("exit 3; it changed files of the work tree (checkpoint 2)\n7")
            assert desk.changed() == ("a.py", "made.py")

    def test_a_program_that_hangs_or_prints_forever_is_ended(self, tmp_path):
        """The limit is told, the output is cut in the middle, and the desk goes on."""
        with tools_on(tmp_path, {"a.py": PY}) as (call, _):
            seen = call("run", command="yes | head -c 400000; echo; echo end; sleep 60", seconds=10)
            assert not seen.ok and seen.text.startswith("stopped after 10 s") and seen.text.endswith("end")
            assert seen.dropped_chars > 300_000 and len(seen.text) < 7_000
            assert call("run", command="echo again").text == "exit 0\nagain"

    def test_there_is_no_network_and_no_secret(self, tmp_path, monkeypatch):
        """Neither the environment of the caller nor any address but its own can be reached."""
        monkeypatch.setenv("API_KEY", "sesame-123")
        with tools_on(tmp_path, {"a.py": PY}) as (call, _):
            assert "sesame" not in call("run", command="env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'").text
            assert not call("run", command="python -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 2)'").ok


def test_bounded_text_keeps_whole_lines_of_both_ends():
    """What is left out is counted and said; what fits is left alone."""
    text = "".join(f"line {number}\n" for number in range(100))
    cut, dropped = bounded(text, 60, more="ask again")
    assert cut == f"line 0\nline 1\nline 2\nline 3\n[... {dropped} characters left out; ask again ...]\nline 97\nline 98\nline 99\n"
    assert dropped == len(text) - sum(len(line) + 1 for line in cut.splitlines() if line.startswith("line"))
    assert bounded("short", 60) == ("short", 0)
