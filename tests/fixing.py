"""What tests of whole fixes share: a small repository that a commit broke, a request to mend it, and all that a user could miss of a checkout."""

import hashlib
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from backstory.agent.budget import Budget
from backstory.agent.runs import FixRequest, Outcome, fix
from backstory.config import Language
from repos import Repo

CULPRIT = "total: count only what is dear"
ISSUE = "total() in prices.py leaves out cheap things\n"
CHECK = "python check.py"

GOOD = "def total(prices):\n    return sum(prices)\n"
BAD = "def total(prices):\n    return sum(price for price in prices if price > 1)\n"
ASKS = "from prices import total\n\nassert total([1, 2]) == 3, total([1, 2])\n"
MEAN = "\n\ndef mean(prices):\n    return total(prices) / len(prices)\n"


def broken(root: Path, **more: str | bytes) -> Repo:
    """Return a repository of six commits; the fourth is the culprit, and the check passes before it. more: files of the first commit."""
    repo = Repo(root)
    repo.commit("Sum prices", {"prices.py": GOOD, "check.py": ASKS, **more})
    repo.commit("Say what this is", {"README": "prices\n"})
    repo.commit("Add the mean", {"prices.py": GOOD + MEAN})
    repo.commit(CULPRIT, {"prices.py": BAD + MEAN})
    repo.commit("Name the money", {"money.py": "CURRENCY = 'EUR'\n"})
    repo.commit("Say more", {"README": "prices and their sum\n"})
    return repo


def asked(root: Path, home: Path, **changes) -> FixRequest:
    """Return a request to mend `broken`, everything kept below `home`. changes: other fields."""
    request = FixRequest(
        issue_id="issue.md",
        title=ISSUE.strip(),
        issue_text=ISSUE,
        repo=root,
        base=None,
        check=CHECK,
        attempts=1,
        budget=Budget(),
        sandbox="auto",
        prepare=False,
        check_timeout_s=60,
        exclude=(),
        languages=get_args(Language),
        cache_dir=home / "cache",
        state_dir=home / "state",
        active_environment=Path(sys.prefix),
        search_path=os.environ["PATH"],
    )
    return replace(request, **changes)


def quiet(phase: str, done: int, total: int | None) -> None:
    """Report nothing."""


def solved(root: Path, home: Path, **changes) -> Outcome:
    """Return the outcome of a fix."""
    return fix(asked(root, home, **changes), report=quiet)


def state_of(root: Path) -> dict[str, tuple[int, str]]:
    """Return the mode and a hash of the content of every file, folder and link below `root`, git's own included."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        else:
            content = b""
        found[os.fsdecode(os.fsencode(path.relative_to(root)))] = (mode, hashlib.sha256(content).hexdigest())
    return found
