"""The architecture as a test: which folder may import which, and who may start programs."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The arrows of the architecture. The page docs/architecture.md is generated from this table.
MAY_IMPORT: dict[str, set[str]] = {
    "prompts": set(),
    "graph": set(),
    "memory": {"graph"},
    "tools": {"graph", "memory"},
    "agent": {"tools", "graph", "memory", "prompts"},
    "harness": {"agent", "tools", "graph", "memory", "prompts"},
}
ALWAYS = {"backstory.errors", "backstory.__version__"}
MAY_START_PROGRAMS = {"graph/git.py", "tools/shell.py", "tools/service.py"}
SPEAKS_TO_THE_ENGINE = "tools/engine.py"
FACE_READS_ENVIRONMENT = {"backstory/cli.py", "backstory/config.py"}


def modules() -> list[Path]:
    return sorted(path for folder in [*MAY_IMPORT, "backstory"] for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_follow_the_arrows(path):
    """A folder imports only what the table allows, and never a generic top-level name."""
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in MAY_IMPORT, f"{name}: import backstory.{name}"
        if parts[0] != "backstory" or folder == "backstory":
            continue
        if ".".join(parts[:2]) in ALWAYS:
            continue
        assert parts[1] == folder or parts[1] in MAY_IMPORT[folder], f"{folder} may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_named_modules_start_programs_or_read_the_environment(path):
    """Processes start in graph/git.py, tools/shell.py and tools/service.py alone; the environment is read by the face alone."""
    relative = path.relative_to(ROOT).as_posix()
    source = path.read_text()
    names = {name.split(".")[0] for name in imported(path)}
    if relative not in MAY_START_PROGRAMS:
        assert "subprocess" not in names, "start programs in graph/git.py, tools/shell.py or tools/service.py"
        assert not any(word in source for word in ("os.system(", "os.popen(", "os.exec", "os.spawn", "posix_spawn")), (
            "start programs elsewhere"
        )
    if relative != SPEAKS_TO_THE_ENGINE:
        assert "docker" not in names, "begin containers in tools/engine.py"
    if relative not in FACE_READS_ENVIRONMENT:
        assert not any(word in source for word in ("os.environ", "os.getenv", "Path.home(", "expanduser(", "sys.argv")), (
            "take it as an argument"
        )


def test_every_folder_is_packaged():
    """The packages listed for the wheel are the folders on disk; a forgotten one would be missing from the wheel only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    on_disk = {
        "backstory" if folder == "backstory" else "backstory." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for folder in [*MAY_IMPORT, "backstory"]
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == on_disk


def test_every_file_beside_the_modules_is_packaged():
    """What a folder holds besides modules is named in the wheel's list; a forgotten file would be missing from the wheel only."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for folder in [*MAY_IMPORT, "backstory"]:
        package = "backstory" if folder == "backstory" else f"backstory.{folder}"
        files = {path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        packaged = {path for pattern in named.get(package, ()) for path in (ROOT / folder).glob(pattern)}
        assert files == packaged, f"{package}: not in package-data, or not there"


def test_the_version_is_said_once():
    """pyproject.toml and backstory.__version__ agree."""
    import backstory

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == backstory.__version__
