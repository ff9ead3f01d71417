"""Which Python a repository's tests run in, found without running anything of the repository, and prepared when asked."""

import os
import sys
from pathlib import Path

import pytest

from backstory.errors import UserError
from backstory.tools.dependencies import find_dependencies
from backstory.tools.environment import (
    PipSettings,
    build_environment,
    build_outputs,
    find_environment,
    open_prepared,
    prepare_environment,
)
from backstory.tools.interpreter import from_prefix, of_version, on_path
from backstory.tools.limits import Limits
from backstory.tools.sandbox import open_sandbox
from backstory.tools.shell import Command, Mount
from repos import Repo

REAL = Path(sys.executable).resolve()


def make_venv(folder, *, python=REAL, home=None):
    """Make a virtual environment by hand."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(python)
    (folder / "pyvenv.cfg").write_text(f"home = {home or Path(python).parent}\n")
    (folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages").mkdir(parents=True)
    return folder


def make_prefix(folder, name="python3"):
    """Make what looks like an installation of Python: its program says where it is."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (folder / "bin" / name).symlink_to(REAL)
    return folder


def test_the_checkouts_own_environment_comes_first(tmp_path):
    """`.venv` before `venv` before the active environment before PATH."""
    checkout = tmp_path / "checkout"
    active = make_venv(tmp_path / "active")
    for name, folder in (("PATH", None), ("active", active), ("venv", checkout / "venv"), (".venv", checkout / ".venv")):
        if folder is not None and folder != active:
            make_venv(folder)
        found = find_environment(checkout, active=active if name != "PATH" else None, path=str(REAL.parent))
        if folder is None:
            assert found.label.startswith("python3 on PATH") and "VIRTUAL_ENV" not in found.env
        else:
            assert str(folder) in found.label and found.env["VIRTUAL_ENV"] == str(folder)
            assert found.env["PATH"].split(":")[0] == str(folder / "bin")


def test_nothing_of_the_caller_is_passed_on(tmp_path):
    """The variables are ours alone, whatever the caller's are."""
    found = find_environment(None, active=make_venv(tmp_path / "v"), path=os.environ["PATH"])
    assert set(found.env) == {"LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONNOUSERSITE", "VIRTUAL_ENV"}


@pytest.mark.sandbox
def test_what_was_found_runs_in_the_sandbox(tmp_path):
    """The interpreter of an environment starts inside with what is mounted for it, and knows its own prefix."""
    environment = find_environment(None, active=make_venv(tmp_path / "v"), path="/usr/bin")
    command = Command(("python", "-c", "import json, ssl, sys; print(sys.prefix)"), Path("/"), environment.env, environment.mounts)
    done = open_sandbox("bwrap").run(command, Limits(wall_s=60))
    assert (done.exit_code, done.output.decode().strip()) == (0, str(tmp_path / "v"))


def test_an_interpreter_of_the_repository_is_not_run(tmp_path):
    """An environment whose `python` is a program of the repository is looked at and refused, not started."""
    canary = tmp_path / "canary"
    folder = tmp_path / "checkout" / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (folder / "bin" / "python").chmod(0o755)
    (folder / "pyvenv.cfg").write_text("home = /\n")
    found = find_environment(tmp_path / "checkout", active=None, path=str(REAL.parent))
    assert not canary.exists() and found.label.startswith("python3 on PATH") and "is not used" in found.notes[0]


@pytest.mark.parametrize("home", ["~", "/", "/home", "/root"])
def test_a_home_directory_is_never_shown(tmp_path, home):
    """An environment that calls a home directory, or what holds one, its base is refused."""
    folder = Path(home).expanduser()
    checkout = tmp_path / "checkout"
    make_venv(checkout / ".venv", home=folder / "bin")
    found = find_environment(checkout, active=None, path=str(REAL.parent))
    assert all(mount.source.resolve() not in (folder.resolve(), *folder.resolve().parents) for mount in found.mounts)
    assert isinstance(from_prefix(folder), str)


def test_a_link_of_the_repository_to_something_else_is_refused(tmp_path):
    """A `.venv` that leads to a folder which is no Python is not shown."""
    secret = tmp_path / "secret"
    (secret / "bin").mkdir(parents=True)
    (secret / "bin" / "python").write_text("")
    (secret / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".venv").symlink_to(secret)
    found = find_environment(tmp_path / "checkout", active=None, path="/usr/bin")
    assert not any(mount.source == secret for mount in found.mounts)


def test_a_dangling_environment_is_said(tmp_path):
    """An environment whose base is gone is passed over, with a note."""
    make_venv(tmp_path / "checkout" / ".venv", python=tmp_path / "gone" / "bin" / "python3")
    found = find_environment(tmp_path / "checkout", active=None, path=str(REAL.parent))
    assert "dangles" in found.notes[0] and found.python is not None


def test_a_link_in_the_middle_is_shown_too(tmp_path):
    """When `python` leads through a linked prefix, that prefix is there inside as well."""
    (tmp_path / "alias").symlink_to(REAL.parent.parent)
    found = from_prefix(make_venv(tmp_path / "v", python=tmp_path / "alias" / "bin" / REAL.name))
    if REAL.is_relative_to("/usr"):
        pytest.skip("the base is the system's own")
    assert (REAL.parent.parent, tmp_path / "alias") in found.folders


@pytest.mark.parametrize(
    ("wanted", "version"), [("3.11.2", "3.11.2"), ("3.11", "3.11.10"), ("../../evil", "3.9.1"), ("9.9", "3.9.1"), (None, "3.9.1")]
)
def test_a_shim_of_pyenv_is_followed_without_running_it(tmp_path, wanted, version):
    """The checkout's version file chooses among what is installed, then pyenv's own; a strange one is passed over."""
    root = tmp_path / "pyenv"
    for name in ("3.11.2", "3.11.10", "3.9.1"):
        make_prefix(root / "versions" / name)
    (root / "version").write_text("3.9.1\n")
    (root / "shims").mkdir()
    (root / "shims" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (root / "shims" / "python3").chmod(0o755)
    (tmp_path / "checkout").mkdir()
    if wanted:
        (tmp_path / "checkout" / ".python-version").write_text(wanted + "\n")
    found = on_path(str(root / "shims"), checkout=tmp_path / "checkout")
    assert found.prefix == root / "versions" / version


def test_without_python_there_is_still_an_environment():
    """A machine or search path without Python gives the system's programs, and says so."""
    found = find_environment(None, active=None, path="/nowhere")
    assert found.python is None and found.mounts == () and "no python3" in found.notes[0]


def test_the_id_changes_with_what_is_installed(tmp_path):
    """The same environment has the same id; one more package, or another version, has another."""
    folder = make_venv(tmp_path / "v")
    site = next(folder.glob("lib/*/site-packages"))

    def now():
        return find_environment(None, active=folder, path="/usr/bin").id

    ids = [now(), now()]
    assert ids[0] == ids[1]
    (site / "x-1.dist-info").mkdir()
    ids.append(now())
    (site / "x-1.dist-info" / "RECORD").write_text("x.py,,\n")
    ids.append(now())
    (site / "x.pth").write_text("/somewhere\n")
    ids.append(now())
    assert len(set(ids)) == 4


def test_node_is_found_with_the_checkouts_modules(tmp_path):
    """A checkout with node_modules gets them, and their programs, when there is a node."""
    (tmp_path / "checkout" / "node_modules" / ".bin").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "node").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "node").chmod(0o755)
    modules = tmp_path / "checkout" / "node_modules"
    found = find_environment(tmp_path / "checkout", active=None, path=str(tmp_path / "bin"))
    assert modules in [mount.target for mount in found.mounts] and str(modules / ".bin") in found.env["PATH"]
    assert find_environment(tmp_path / "checkout", active=None, path="/nowhere").mounts == ()


def test_what_an_install_left_is_found(tmp_path):
    """egg-info, generated versions and compiled modules that git ignores are laid over; tracked or unignored files are not."""
    repo = Repo(tmp_path)
    repo.commit("start", {".gitignore": "*.egg-info/\n_version.py\n*.so\n/.venv/\n", "src/pkg/__init__.py": "", "src/pkg/version.py": "1"})
    repo.write(
        {"src/pkg.egg-info/PKG-INFO": "x", "src/pkg/_version.py": "1", "src/pkg/fast.so": "", "notes/version.py": "", ".venv/a.so": ""}
    )
    assert [mount.target.relative_to(tmp_path).as_posix() for mount in build_outputs(tmp_path)] == [
        "src/pkg/_version.py",
        "src/pkg/fast.so",
        "src/pkg.egg-info",
    ]
    assert all(mount.source == mount.target and not mount.writable for mount in build_outputs(tmp_path))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (False, (), (), ())),
        ({"setup.py": ""}, (True, (), (), ())),
        ({"pyproject.toml": "[project]\nname='x'\n[project.optional-dependencies]\ntest=['a']\ndev=['b']\n"}, (True, ("test",), (), ())),
        ({"setup.cfg": "[metadata]\nname=x\n[options.extras_require]\ndev = b\ndocs = c\n"}, (True, ("dev",), (), ())),
        (
            {"pyproject.toml": "[dependency-groups]\ntests=['a', {include-group='more'}]\nmore=['b', {include-group='tests'}]\n"},
            (False, (), ("a", "b"), ()),
        ),
        (
            {
                "requirements.txt": "",
                "requirements/tests.txt": "",
                "requirements/dev.txt": "",
                "requirements/tests.in": "",
                "docs/requirements.txt": "",
            },
            (False, (), (), ("docs/requirements.txt", "requirements.txt", "requirements/tests.txt")),
        ),
        ({"requirements-dev.txt": "", "other.txt": ""}, (False, (), (), ("requirements-dev.txt",))),
        ({"test-requirements.txt": "", "dev-requirements.txt": ""}, (False, (), (), ("test-requirements.txt",))),
    ],
)
def test_what_tests_need_is_found(files, expected):
    """Extras, dependency groups and requirements files for tests are taken, those for development only without them."""
    found = find_dependencies(files, lambda path: files[path].encode() if path in files else None)
    assert (found.project, found.extras, found.requirements, found.files) == expected


BACKEND = """
import pathlib, zipfile

def _wheel(folder, extra):
    name = "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("pkg-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: pkg\\nVersion: 1\\n")
        wheel.writestr("pkg-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        for path, text in extra.items():
            wheel.writestr(path, text)
        wheel.writestr("pkg-1.dist-info/RECORD", "")
    return name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {})

def build_editable(folder, config_settings=None, metadata_directory=None):
    here = pathlib.Path(__file__).parent
    (here / "src" / "pkg" / "_version.py").write_text("version = 1")
    return _wheel(folder, {"pkg.pth": str(here / "src") + "\\n"})
"""
PROJECT = {
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n[project]\nname = 'pkg'\nversion = '1'\n",
    "backend.py": BACKEND,
    "src/pkg/__init__.py": "from pkg._version import version\n",
}
OFFLINE = PipSettings(env={"PIP_NO_INDEX": "1"})


def written(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.slow
@pytest.mark.sandbox
def test_an_environment_is_prepared_once(tmp_path):
    """The project is installed editable at the path its tree is shown at, what the install generates is kept, and a second call builds nothing."""
    bound_at = Path("/checkout/pkg")

    def prepare(name, files=PROJECT):
        root = written(tmp_path / name, files)
        return prepare_environment(
            root,
            bound_at=bound_at,
            cache_dir=tmp_path / "cache",
            sandbox=open_sandbox("bwrap"),
            path=str(REAL.parent),
            pip=OFFLINE,
            requirements=(),
            report=lambda phase, done, total: phases.append(phase),
        )

    phases: list[str] = []
    environment = prepare("first")
    assert phases == ["prepare: environment", "prepare: install"]
    assert prepare("second") == environment and len(phases) == 2
    fresh = written(tmp_path / "fresh", PROJECT)  # as a work tree of another commit: nothing generated in it
    command = Command(
        ("python", "-c", "import pkg; print(pkg.version, pkg.__file__)"),
        Path("/"),
        environment.env,
        (Mount(fresh, bound_at, True), *environment.mounts),
    )
    done = open_sandbox("bwrap").run(command, Limits(wall_s=60))
    assert done.output.decode() == "1 /checkout/pkg/src/pkg/__init__.py\n"
    prepare("third", {**PROJECT, "requirements.txt": "# nothing\n"})
    assert len(phases) == 4


@pytest.mark.slow
@pytest.mark.sandbox
def test_an_install_that_fails_is_told_with_its_end(tmp_path):
    """When pip fails the user reads what it said last, and nothing half-built is kept."""
    root = written(tmp_path / "tree", {"requirements.txt": "not-a-package-anywhere==1\n"})
    with pytest.raises(UserError, match="not-a-package-anywhere"):
        prepare_environment(
            root,
            bound_at=Path("/w"),
            cache_dir=tmp_path / "cache",
            sandbox=open_sandbox("bwrap"),
            path=str(REAL.parent),
            pip=OFFLINE,
            requirements=(),
        )
    assert not [path for path in (tmp_path / "cache" / "envs").iterdir() if path.is_dir()]


@pytest.mark.slow
@pytest.mark.sandbox
def test_an_environment_is_built_by_commands_and_opened_again(tmp_path):
    """The commands run with the new environment active, once; what they leave in the tree is kept; a failing one is told with its end."""
    base = from_prefix(REAL.parent.parent)
    bound_at = Path("/checkout/pkg")

    def build(*commands, name="pkg 1"):
        root = written(tmp_path / "tree", {"pkg/__init__.py": "", ".gitignore": "*.egg-info\n"})
        phases.clear()
        return build_environment(
            root,
            commands,
            base=base,
            name=name,
            bound_at=bound_at,
            cache_dir=tmp_path / "cache",
            sandbox=open_sandbox("bwrap"),
            path=str(REAL.parent),
            pip=OFFLINE,
            report=lambda phase, done, total: phases.append(phase),
        )

    phases: list[str] = []
    commands = (
        'python -c \'import sys; open(sys.prefix + "/made", "w").write(sys.prefix)\'',
        "mkdir -p pkg.egg-info && pwd > pkg.egg-info/where",
    )
    made = build(*commands)
    assert len(phases) == 3 and (made.folder / "made").read_text() == str(made.folder)
    assert (made.bound_at, made.folder.parent) == (bound_at, tmp_path / "cache" / "envs")
    assert Mount(made.folder / "outputs" / "pkg.egg-info", bound_at / "pkg.egg-info") in made.environment.mounts
    assert (made.folder / "outputs" / "pkg.egg-info" / "where").read_text() == f"{bound_at}\n"
    assert build(*commands) == made == open_prepared(made.folder, path=str(REAL.parent)) and phases == []
    assert build(*commands, name="pkg 2").folder != made.folder
    with pytest.raises(UserError, match=r"'exit 3' failed \(exit code 3\)"):
        build("exit 3")
    with pytest.raises(UserError, match="not made to its end"):
        open_prepared(tmp_path / "cache" / "envs" / "none", path="")


@pytest.mark.slow
@pytest.mark.sandbox
def test_what_npm_leaves_in_the_tree_is_kept(tmp_path):
    """The folder of modules is laid over every tree that is judged, its programs are found, and so is a node that is not the system's."""
    (tmp_path / "node" / "bin").mkdir(parents=True)
    (tmp_path / "node" / "lib" / "node_modules").mkdir(parents=True)
    (tmp_path / "node" / "bin" / "node").write_text("#!/bin/sh\n")
    (tmp_path / "node" / "bin" / "node").chmod(0o755)
    bound_at, path = Path("/checkout/pkg"), f"{REAL.parent}:{tmp_path / 'node' / 'bin'}"
    made = build_environment(
        written(tmp_path / "tree", {"package.json": "{}"}),
        ("mkdir -p node_modules/.bin node_modules/a sub/node_modules/b",),
        base=from_prefix(REAL.parent.parent),
        name="pkg",
        bound_at=bound_at,
        cache_dir=tmp_path / "cache",
        sandbox=open_sandbox("bwrap"),
        path=path,
        pip=OFFLINE,
    )
    kept = made.folder / "outputs"
    assert (kept / "node_modules" / "a").is_dir() and (kept / "sub" / "node_modules" / "b").is_dir()
    mounts = made.environment.mounts
    assert mounts.count(Mount(kept / "node_modules", bound_at / "node_modules")) == 1
    assert Mount(kept / "sub" / "node_modules", bound_at / "sub" / "node_modules") in mounts
    assert Mount(tmp_path / "node", tmp_path / "node") in mounts
    assert f"{bound_at}/node_modules/.bin:{tmp_path}/node/bin" in made.environment.env["PATH"]
    without = open_prepared(made.folder, path=str(REAL.parent)).environment
    assert Mount(kept / "node_modules", bound_at / "node_modules") in without.mounts and ".bin" not in without.env["PATH"]


def test_an_interpreter_is_found_by_its_version(tmp_path):
    """Behind pyenv's shims the newest of a version, else `pythonX.Y` on the path; a missing one is told."""
    make_prefix(tmp_path / "pyenv" / "versions" / "3.9.2")
    newest = make_prefix(tmp_path / "pyenv" / "versions" / "3.9.18")
    (tmp_path / "pyenv" / "shims").mkdir()
    other = make_prefix(tmp_path / "opt", "python3.8")
    path = f"{tmp_path / 'pyenv' / 'shims'}:{other / 'bin'}"
    assert of_version("3.9", path).prefix == newest
    found = of_version("3.8", path)
    assert found.prefix == REAL.parent.parent if (other / "bin" / "python3.8").is_symlink() else other
    assert of_version("3.7", path) == "there is no Python 3.7 on PATH or among pyenv's versions"
