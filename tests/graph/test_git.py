"""The one runner of git: a neutral environment, failures as values, and no pipe that blocks."""

import pytest

from backstory.errors import StorageError, UserError
from backstory.graph.git import Git, GitError, git_program
from repos import Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo.git", bare=True)
    repo.git("commit-tree", repo.git("hash-object", "-t", "tree", "-w", "--stdin", stdin=b""), "-m", "x")
    return repo


def test_the_callers_environment_and_config_do_not_reach_git(repo, monkeypatch, tmp_path):
    """Neither GIT_* variables, nor HOME, nor the repository's own config change what git does."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n[core]\n\tpager = false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Nobody")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    git = Git(repo.root)
    assert git.run("config", "user.name") == b"backstory\n"
    assert git.run("rev-parse", "--absolute-git-dir").decode().strip() == str(repo.root.resolve())
    assert not (tmp_path / "trace").exists()


def test_no_protocol_is_allowed_unless_a_call_says_so(repo, tmp_path):
    """A fetch is refused, over the file transport too; only an explicit setting for one call lets it through."""
    other = Repo(tmp_path / "other")
    other.commit("one")
    with pytest.raises(GitError, match="not allowed"):
        Git(repo.root).run("fetch", other.root.as_uri())
    Git(repo.root, extra={"GIT_ALLOW_PROTOCOL": "file"}).run("fetch", other.root.as_uri(), "main")


def test_a_failure_carries_its_code_and_one_line(repo):
    """An unknown object is a GitError with git's exit code and complaint; an exit code that is allowed is not an error."""
    with pytest.raises(GitError) as caught:
        Git(repo.root).run("cat-file", "-t", "f" * 40)
    assert caught.value.exit_code == 128 and "\n" not in str(caught.value) and caught.value.complaint
    assert Git(repo.root).run("cat-file", "-e", "f" * 40, allowed=(0, 1, 128)) == b""


def test_the_line_that_matters_is_found():
    """The first line git marks is the complaint, whatever progress and hints stand around it."""
    error = GitError(
        ["fetch"], 128, "remote: Counting: 10%\rremote: Counting: 100%\nremote: fatal: it broke\nhint: read on\nfatal: early EOF\n"
    )
    assert error.complaint == "it broke"
    assert GitError(["x"], 1, "").complaint == "git said nothing"


@pytest.mark.parametrize("said", ["fatal: write error: No space left on device", "error: unable to create: Read-only file system"])
def test_a_disk_that_takes_nothing_is_a_storage_error(repo, said):
    """What git says about a full or read-only disk becomes the error with exit code 9."""
    with pytest.raises(StorageError, match="BACKSTORY_CACHE_DIR"):
        Git(repo.root).run("-c", f"alias.full=!echo '{said}' >&2; exit 128", "full")


def test_a_stream_is_read_as_it_comes_and_its_failure_told(repo):
    """Output larger than any pipe streams with its input; a failure is raised once the output is read."""
    git = Git(repo.root)
    many = 20_000
    with git.stream("cat-file", "--batch-check", stdin=b"HEAD\n" * many) as stream:
        assert sum(1 for _ in stream) == many
    with pytest.raises(GitError), git.stream("log", "f" * 40) as stream:
        stream.read()


def test_leaving_a_stream_early_stops_git(repo):
    """A reader that has enough, or fails, leaves nothing behind that could block."""
    git = Git(repo.root)
    with git.stream("cat-file", "--batch-check", stdin=b"HEAD\n" * 100_000) as stream:
        stream.readline()
    with pytest.raises(ZeroDivisionError), git.stream("cat-file", "--batch-check", stdin=b"HEAD\n" * 100_000):
        raise ZeroDivisionError


def test_much_complaint_beside_the_output_does_not_block(repo):
    """Git may write more to its standard error than a pipe holds while its output is being read."""
    alias = "!for number in $(seq 20000); do echo complaining at length >&2; done; echo done"
    with Git(repo.root).stream("-c", f"alias.loud={alias}", "loud") as stream:
        assert stream.read() == b"done\n"


def test_a_conversation_answers_and_ends(repo):
    """A long-lived git answers question by question and is stopped on leaving, with input unread too."""
    with Git(repo.root).conversation("cat-file", "--batch-check") as (question, answer):
        for name in (b"nope", b"nothing"):
            question.write(name + b"\n")
            question.flush()
            assert answer.readline() == name + b" missing\n"
        question.write(b"unread\n")


def test_progress_is_followed_line_by_line(repo, tmp_path):
    """Carriage returns end a line of progress as newlines do, and a failure keeps what was said last."""
    alias = r"!printf 'one\rtwo\n\nthree' >&2"
    said: list[str] = []
    Git(repo.root).follow("-c", f"alias.talk={alias}", "talk", said=said.append)
    assert said == ["one", "two", "three"]
    with pytest.raises(GitError) as caught:
        Git(repo.root).follow("-c", r"alias.talk=!printf 'x\rfatal: bad\n' >&2; exit 3", "talk", said=said.append)
    assert (caught.value.exit_code, caught.value.complaint) == (3, "bad")


def test_a_listener_that_fails_stops_git(repo):
    """When the progress cannot be handed on, git is not left running."""
    with pytest.raises(ZeroDivisionError):
        Git(repo.root).follow("-c", "alias.talk=!echo x >&2; sleep 3", "talk", said=lambda _: 1 // 0)


def test_without_git_the_user_is_told(monkeypatch):
    """No git on the path is a mistake the user can mend."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="install git"):
        git_program()
