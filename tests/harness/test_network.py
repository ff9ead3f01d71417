"""Where the network may be used."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NETWORK = {"httpx", "httpcore", "requests", "urllib3", "aiohttp", "socket", "ssl", "http", "ftplib", "smtplib", "urllib.request"}
FOLDERS = ("agent", "tools", "graph", "memory", "harness", "prompts", "backstory")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_one_module_uses_the_network(path):
    """Nothing but harness/github.py imports what opens a connection; so nothing can be sent anywhere else."""
    if path == ROOT / "harness" / "github.py":
        return
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    assert not {name for name in names if name in NETWORK or name.split(".")[0] in NETWORK}
