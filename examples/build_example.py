"""Build the example repository: a small shop library with a past, and a fault that a faster inventory brought in.

    python examples/build_example.py build/example

The commits are written in `history/`; here they become a repository. Dates and people are fixed and the user's git configuration is not read, so
every commit has the same id on every machine. One `git fast-import` writes it all, which takes a fraction of a second.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from history import STEPS
from history.steps import Step

START = 1_704_704_400  # Monday, 8 January 2024, 09:00 UTC
BETWEEN = 3 * 86_400 + 5_400  # a commit every three days and a bit
MARKER = "backstory-example"  # a file in .git: this repository is ours to build again

Files = dict[str, str]


def build(target: Path) -> str:
    """Build the repository at `target` and return the id of its newest commit.

    An example built earlier is replaced; anything else that is there is left alone, and SystemExit says so.
    """
    if target.exists():
        if not (target / ".git" / MARKER).is_file() and any(target.iterdir()):
            raise SystemExit(f"{target} is not an example repository; name another folder")
        shutil.rmtree(target)
    target.mkdir(parents=True)
    git(target, "init", "-q", "-b", "main", "--template=")
    git(target, "fast-import", "--quiet", stdin=b"".join(stream(STEPS)))
    git(target, "reset", "-q", "--hard", "main")
    git(target, "branch", "-q", "-D", *sorted({step.branch for step in STEPS} - {"main"}))
    (target / ".git" / MARKER).touch()
    return git(target, "rev-parse", "HEAD")


def stream(steps: Iterable[Step]) -> Iterator[bytes]:
    """Yield the history in the form `git fast-import` reads: each commit names its parents and all its files."""
    tips: dict[str, tuple[int, Files]] = {"main": (0, {})}
    own: dict[str, list[Step]] = {}
    for mark, step in enumerate(steps, 1):
        parent, files = tips.get(step.branch, tips["main"])
        parents = [parent]
        if step.merge:
            parents.append(tips.pop(step.merge)[0])
            for earlier in own.pop(step.merge):
                files = changed(files, earlier)
        files = changed(files, step)
        if step.branch != "main":
            own.setdefault(step.branch, []).append(step)
        tips[step.branch] = (mark, files)
        yield from commit(step, mark, parents, files)


def changed(files: Mapping[str, str], step: Step) -> Files:
    """Return the files after a step; fails loudly when the text to be edited is not there exactly once."""
    after = {step.move.get(path, path): text for path, text in files.items() if path not in step.delete}
    after |= step.write
    for path, edits in step.edit.items():
        for old, new in edits:
            assert after[path].count(old) == 1, f"{step.message!r}: {old!r} is {after[path].count(old)} times in {path}"
            after[path] = after[path].replace(old, new)
    for path, (word, other) in step.reword.items():
        after[path] = re.sub(rf"\b{word}\b", other, after[path])
    return after


def commit(step: Step, mark: int, parents: list[int], files: Files) -> Iterator[bytes]:
    when = f"{START + mark * BETWEEN} +0000"
    yield f"commit refs/heads/{step.branch}\nmark :{mark}\nauthor {step.author} {when}\ncommitter {step.author} {when}\n".encode()
    yield text(step.message + "\n")
    for name, parent in zip(("from", "merge"), parents, strict=False):
        if parent:
            yield f"{name} :{parent}\n".encode()
    yield b"deleteall\n"
    for path, content in sorted(files.items()):
        yield f"M 100644 inline {path}\n".encode() + text(content)
    if step.tag:
        yield f"reset refs/tags/{step.tag}\nfrom :{mark}\n\n".encode()


def text(content: str) -> bytes:
    raw = content.encode()
    return b"data %d\n%b\n" % (len(raw), raw)


def git(directory: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run git without the user's configuration, which could change what is built."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(["git", *arguments], cwd=directory, env=environment, input=stdin, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: build_example.py FOLDER")
    print(build(Path(sys.argv[1])))
