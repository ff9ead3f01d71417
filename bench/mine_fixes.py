"""Make instances for `backstory bench locate` from the fixes in a repository's own history, for languages that no published set covers.

    python bench/mine_fixes.py --repo /mirrors/google+gson.git --name google/gson --count 60 > mined.jsonl

An instance is a commit that is no merge, says that it mends a fault and changes one to five source files (tests and prose not counted). Its base is its
parent; its issue is what the commit says, without paths, numbers of issues, addresses, ids of commits and trailers. Messages are written by who knows
the fix, so these figures are kinder than those of issues and stand apart from them. The commits are taken evenly over the newest half of the history,
so that there is a past to learn from. Leaks: a fix that says what an earlier commit says word for word (a reverted one, made again) is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backstory.graph.history import says_fix
from backstory.graph.languages import is_test, language_of
from backstory.graph.selection import place_of
from backstory.graph.types import RepoPath

MOST_FILES = 5
FEWEST_WORDS = 4  # of an issue; "Fix bug" asks for nothing
_HIDDEN = re.compile(
    r"https?://\S+|\b[0-9a-f]{7,40}\b|\(?(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)?:?\s*(?:[\w.-]+/[\w.-]+)?#\d+\)?|(?<!\w)[\w.+-]*/[\w./+-]+|\b[\w-]+\.[a-z]{1,4}\b(?!\()"
    r"|^[A-Z][\w-]+-by:.*$|^\(cherry picked.*$|^(?:git-svn-id|Change-Id|PiperOrigin-RevId):.*$",
    re.IGNORECASE | re.MULTILINE,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--name", required=True, help="owner/name")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--at", default="HEAD")
    options = parser.parse_args()
    found = list(fixes(options.repo, options.at))
    step = max(1, len(found) // options.count)
    for commit, parent, text, paths in found[::step][: options.count]:
        row = {
            "instance_id": f"{options.name.replace('/', '__')}-{commit[:12]}",
            "repo": options.name,
            "base_commit": parent,
            "problem_statement": text,
            "patch": git(options.repo, "diff", "--no-renames", parent, commit, "--", *paths),
        }
        sys.stdout.write(json.dumps(row) + "\n")


def fixes(repo: Path, at: str) -> Iterator[tuple[str, str, str, list[RepoPath]]]:
    """Yield (commit, parent, issue, source files) of the fixes in the newest half of the history, newest first."""
    log = git(repo, "log", "--topo-order", "--no-merges", "--no-renames", "--name-only", "-z", "--format=%x01%H%x02%P%x02%B%x02", at)
    commits = [commit.split("\x02") for commit in log.split("\x01")[1:]]
    said: dict[str, int] = {}
    for _, _, message, _ in commits:
        said[message] = said.get(message, 0) + 1
    for oid, parents, message, names in commits[: len(commits) // 2]:
        subject, _, body = message.partition("\n")
        paths = [RepoPath(name) for name in re.split(r"[\0\n]+", names) if name]
        source = [path for path in paths if place_of(path, is_test=is_test(path)) == "code" and language_of(path) is not None]
        text = "\n".join(line for line in (" ".join(part.split()) for part in _HIDDEN.sub(" ", message).split("\n")) if line)
        if not 1 <= len(source) <= MOST_FILES or len(parents.split()) != 1 or said[message] > 1:
            continue
        if says_fix(subject, body) and len(text.split()) >= FEWEST_WORDS:
            yield oid, parents, text, source


def git(repo: Path, *arguments: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", "-C", str(repo), *arguments], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    main()
