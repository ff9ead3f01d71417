"""What a repository's settings say of how it is started and how its code is kept."""

import pytest

from backstory.tools.manifest import MAX_ENTRY_POINTS, find_conventions, find_entry_points


def reader(files):
    return lambda path: files[path].encode() if path in files else None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": "[project.scripts]\nrun = 'a.b:c'\n"}, ["run = a.b:c"]),
        ({"pyproject.toml": "[tool.poetry.scripts]\nrun = 'a.b:c'\n"}, ["run = a.b:c"]),
        ({"setup.cfg": "[options.entry_points]\nconsole_scripts =\n  run=a.b:c\n"}, ["run=a.b:c"]),
        ({"setup.py": "setup(entry_points={'console_scripts': ['run = a.b:c']})"}, ["run = a.b:c"]),
        ({"package.json": '{"name": "x", "bin": "./cli.js", "main": "index.js"}'}, ["x = ./cli.js", "main index.js"]),
        ({"package.json": '{"bin": {"x": "./cli.js"}, "module": "m.mjs"}'}, ["x = ./cli.js", "module m.mjs"]),
        (
            {"a/__main__.py": "", "cmd/tool/main.go": "", "src/main.rs": "", "a/main.py": ""},
            ["a/__main__.py", "src/main.rs", "cmd/tool/main.go"],
        ),
        ({"package.json": "[", "setup.cfg": "[", "pyproject.toml": "["}, []),
    ],
)
def test_entry_points_are_found(files, expected):
    """Scripts of Python and JavaScript packages are named with their targets, then files that are programs by their name."""
    assert find_entry_points(files, reader(files)) == expected


def test_there_are_not_too_many_entry_points():
    """A repository of many programs names the first ones."""
    files = dict.fromkeys((f"cmd/{number}/main.go" for number in range(50)), "")
    assert len(find_entry_points(files, reader(files))) == MAX_ENTRY_POINTS


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"pyproject.toml": "[project]\nrequires-python = '>=3.9'\n[tool.black]\nline-length = 100\n"},
            ["Python >=3.9", "kept by black", "lines up to 100 characters"],
        ),
        (
            {"setup.cfg": "[options]\npython_requires = >=3.8\n[flake8]\nmax-line-length = 99\n[mypy]\n"},
            ["Python >=3.8", "kept by flake8, mypy", "lines up to 99 characters"],
        ),
        ({"setup.py": "setup(python_requires='>=3.6')"}, ["Python >=3.6"]),
        ({"tsconfig.json": "{}", ".prettierrc.json": "{}", "eslint.config.js": ""}, ["kept by TypeScript, prettier, eslint"]),
        ({".clang-format": "", ".pre-commit-config.yaml": ""}, ["kept by pre-commit, clang-format"]),
        ({"tox.ini": "[flake8]\nmax-line-length = many\n"}, ["kept by flake8"]),
        ({}, []),
    ],
)
def test_conventions_are_read_from_settings(files, expected):
    """The Python demanded, the tools that keep the code and the length of a line are told where the settings tell them."""
    assert find_conventions(files, reader(files)) == expected
