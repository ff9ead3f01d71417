"""Where the network may be used."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# What each may be used for: GitHub's API; a model; what its server says of itself; a server of our own that listens on this machine alone.
MAY_USE = {
    "harness/github.py": {"httpx"},
    "harness/selftest.py": {"httpx"},
    "tools/engine.py": {"requests", "socket"},
    "harness/cluster.py": {"socket"},
    "agent/model.py": {"litellm"},
    "agent/vitals.py": {"httpx"},
    "agent/scripted.py": {"http.server", "socket"},
}
NETWORK = {
    "litellm",
    "openai",
    "socketserver",
    "httpx",
    "httpcore",
    "requests",
    "urllib3",
    "aiohttp",
    "socket",
    "ssl",
    "http",
    "ftplib",
    "smtplib",
    "urllib.request",
}
FOLDERS = ("agent", "tools", "graph", "memory", "harness", "prompts", "backstory")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_named_modules_use_the_network(path):
    """Only these import what opens a connection, each its own; so nothing can be sent anywhere else."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "import_module":
            names |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    used = {name for name in names if name in NETWORK or name.split(".")[0] in NETWORK}
    assert used <= MAY_USE.get(path.relative_to(ROOT).as_posix(), set())
