"""Real repositories for tests, with fixed dates and one identity, so that commit ids are the same on every machine."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

BASE_TIME = 1_700_000_000  # 2023-11-14 22:13:20 UTC; each commit is an hour later than the one before


def git(directory: Path, *arguments: str, stdin: bytes | None = None, when: int = BASE_TIME) -> str:
    """Run git as a user would, with a clean environment; return its output, stripped."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_AUTHOR_DATE": f"{when} +0000",
        "GIT_COMMITTER_DATE": f"{when} +0000",
    }
    done = subprocess.run(["git", *arguments], cwd=directory, env=environment, input=stdin, capture_output=True)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Repo:
    """A repository under `root` that grows by `commit`; `head` is the newest commit's id."""

    def __init__(self, root: Path, *, bare: bool = False) -> None:
        self.root = root
        self.time = BASE_TIME
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *(["--bare"] if bare else []))

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        return git(self.root, *arguments, stdin=stdin, when=self.time)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files (None deletes), creating folders."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str, files: Mapping[str, str | bytes | None] | None = None, *, author: str = "") -> str:
        """Commit `files` (and whatever else changed) an hour after the last commit; return the commit's id. author: `Name <address>`."""
        self.write(files or {})
        self.time += 3600
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *([f"--author={author}"] if author else []))
        return self.head

    def merge(self, branch: str, message: str) -> str:
        """Merge `branch` without fast-forward; return the merge's id."""
        self.time += 3600
        self.git("merge", "-q", "--no-ff", "-m", message, branch)
        return self.head
