"""Which versions of its libraries a repository is written against."""

import pytest

from backstory.tools.libraries import find_libraries


def found(files):
    libraries = find_libraries(files, lambda path: files[path].encode() if path in files else None)
    return [(one.name, one.version, one.locked, one.found_in) for one in libraries]


PYPROJECT = '[project]\ndependencies = ["click>=8.1", "Rich >= 13 ; python_version > \'3\'", "plain[extra]"]\n'


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ("uv.lock", 'version = 1\n[[package]]\nname = "click"\nversion = "8.1.7"\n[[package]]\nname = "inner"\nversion = "1"\n'),
        ("poetry.lock", '[[package]]\nname = "Click"\nversion = "8.1.7"\n'),
        ("requirements.txt", "click==8.1.7 \\\n    --hash=sha256:0\n"),
        ("requirements/base.txt", "click==8.1.7  # by hand\n"),
        ("constraints.txt", "click===8.1.7\n"),
        ("Pipfile.lock", '{"default": {"click": {"version": "==8.1.7"}}}'),
    ],
)
def test_a_lock_tells_the_version_of_what_is_declared(lock, text):
    """Whatever form the lock has, a declared library carries the locked version; what it needs in turn is left out."""
    libraries = found({"pyproject.toml": PYPROJECT, lock: text})
    assert [(name.lower(), version, locked, path) for name, version, locked, path in libraries] == [
        ("click", "8.1.7", True, lock),
        ("rich", ">= 13", False, "pyproject.toml"),
        ("plain", "", False, "pyproject.toml"),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"setup.cfg": "[options]\ninstall_requires =\n    numpy>=1.20,<2\n"}, ("numpy", ">=1.20,<2", False, "setup.cfg")),
        ({"setup.py": "needs = ['numpy>=1']\nsetup(install_requires=needs)\n"}, ("numpy", ">=1", False, "setup.py")),
        ({"setup.py": "setup(install_requires=['numpy (>=1)'])\n"}, ("numpy", ">=1", False, "setup.py")),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.9"\nattrs = { version = "^22" }\n'},
            ("attrs", "^22", False, "pyproject.toml"),
        ),
        ({"requirements.txt": "-r other.txt\n# numpy==1\npytest==7.1\n"}, ("pytest", "7.1", True, "requirements.txt")),
        ({"requirements-dev.txt": "pytest==7.1\n"}, ("pytest", "7.1", True, "requirements-dev.txt")),
        (
            {
                "package.json": '{"dependencies": {"@a/b": "^4"}}',
                "package-lock.json": '{"packages": {"": {}, "node_modules/@a/b": {"version": "4.2.0"}, "node_modules/x/node_modules/@a/b": {"version": "3"}}}',
            },
            ("@a/b", "4.2.0", True, "package-lock.json"),
        ),
        (
            {"package.json": '{"dependencies": {"left": "1"}}', "yarn.lock": 'left@1, left@^1:\n  version "1.3.0"\n'},
            ("left", "1.3.0", True, "yarn.lock"),
        ),
        (
            {"go.mod": "module x\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgithub.com/c/d v0.1.0 // indirect\n)\n"},
            ("github.com/a/b", "v1.2.3", True, "go.mod"),
        ),
        ({"Cargo.toml": '[dependencies]\nserde = { version = "1" }\n'}, ("serde", "1", False, "Cargo.toml")),
    ],
)
def test_each_form_of_declaration_is_read(files, expected):
    """Python, JavaScript, Go and Rust projects say in their own files what they need."""
    assert found(files) == [expected]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "setup.cfg", "setup.py", "package.json", "package-lock.json", "uv.lock", "go.mod", "yarn.lock"]
)
@pytest.mark.parametrize("text", ["", "[[[", "\0", "[1]", '{"dependencies": 3, "packages": []}', "package = 3", "(" * 500])
def test_what_cannot_be_read_says_nothing(name, text):
    """Broken or unexpected settings are no libraries and no error."""
    assert found({name: text}) == []
