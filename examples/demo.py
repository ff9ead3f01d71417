"""Show Backstory at work: build the example repository, then let it find, mend and prove what its history broke.

    make demo        (or: python examples/demo.py [OPTIONS OF backstory fix])

Everything is kept below `build/`: the example repository, its issue, and what Backstory remembers of it. No model and no network is used. The exit
code is that of `backstory fix`: 0 when the patch is verified.
"""

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

from build_example import build
from history import STEPS

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
CHECK = "python -m pytest -q tests/test_last_pieces.py"


def main(options: list[str]) -> int:
    """Build the example, run `backstory fix` on its issue and return its exit code. options: handed on to `backstory fix`."""
    if importlib.util.find_spec("pytest") is None:
        print("the example's tests need pytest; install it with: pip install -e '.[test]'", file=sys.stderr)
        return 2
    repository, issue = BUILD / "example", BUILD / "example-issue.md"
    head = build(repository)
    issue.write_bytes((ROOT / "examples" / "issue.md").read_bytes())
    print(f"Built {shown(repository)}: a small shop library, {len(STEPS)} commits, newest {head[:12]}.")
    print(f"The issue: {issue.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}")

    arguments = ["fix", shown(issue), "--repo", shown(repository), "--check", CHECK, *options]
    print(f"\n$ backstory {shlex.join(arguments)}\n", flush=True)
    return subprocess.run([sys.executable, "-m", "backstory", *arguments], cwd=ROOT, env=environment()).returncode


def environment() -> dict[str, str]:
    """Return our environment with this interpreter's as the active one, and all that Backstory keeps below `build/`."""
    return {
        **os.environ,
        "VIRTUAL_ENV": sys.prefix,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "BACKSTORY_CACHE_DIR": str(BUILD / "demo" / "cache"),
        "BACKSTORY_STATE_DIR": str(BUILD / "demo" / "state"),
        "BACKSTORY_CONFIG_DIR": str(BUILD / "demo" / "config"),
    }


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
