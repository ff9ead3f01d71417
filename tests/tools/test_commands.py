"""How a repository says it is tested, and which files a command names."""

import pytest

from backstory.tools.commands import (
    check_files,
    command_for_tests,
    commands_for_files,
    find_check_command,
    find_check_commands,
    framework_of,
)


def found(files):
    return [(one.command, one.found_in) for one in find_check_commands(files, lambda path: files[path].encode() if path in files else None)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"pyproject.toml": '[tool.backstory]\ncheck = "make fast"\n[tool.pytest.ini_options]\n'},
            ("make fast", "pyproject.toml [tool.backstory] check"),
        ),
        ({"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q'\n"}, ("python -m pytest", "pyproject.toml [tool.pytest]")),
        ({"pytest.ini": "[pytest]\n"}, ("python -m pytest", "pytest.ini [pytest]")),
        ({"setup.cfg": "[tool:pytest]\n"}, ("python -m pytest", "setup.cfg [tool:pytest]")),
        (
            {
                "tox.ini": "[testenv]\ncommands =\n  pip list\n  {envpython} -m pytest {posargs:tests} --basetemp={envtmpdir}\n  pytest {posargs:tests}\n"
            },
            ("pytest tests", "tox.ini [testenv] commands"),
        ),
        ({"tox.ini": "[testenv]\ncommands = coverage run -p -m pytest {posargs}\n"}, ("python -m pytest", "tox.ini [testenv] commands")),
        (
            {"noxfile.py": "def t(session):\n    session.install('x')\n    session.run('pytest', 'tests', *session.posargs)\n"},
            ("python -m pytest tests", "noxfile.py"),
        ),
        (
            {"pyproject.toml": '[tool.hatch.envs.default.scripts]\ntest = "pytest {args:tests}"\n'},
            ("python -m pytest tests", "pyproject.toml [tool.hatch.envs.default.scripts] test"),
        ),
        ({"package.json": '{"scripts": {"test": "jest"}}'}, ("npm test", 'package.json "test"')),
        ({"Makefile": "all: x\ntest: all\n\techo\n"}, ("make test", "Makefile test")),
        (
            {
                ".github/workflows/ci.yml": "jobs:\n  t:\n    steps:\n      - run: pip install pytest\n      - run: python -m pytest -x tests\n"
            },
            ("python -m pytest -x tests", ".github/workflows/ci.yml"),
        ),
        ({"pkg/tests/test_a.py": ""}, ("python -m pytest", "tests such as pkg/tests/test_a.py")),
    ],
)
def test_the_way_to_test_is_found(files, expected):
    """Each kind of settings file leads to a command, and to where it was found."""
    assert found(files)[0] == expected


def test_what_is_likeliest_comes_first_and_nothing_twice():
    """A configured pytest is preferred to what make or the CI run; each command is named once."""
    files = {
        "Makefile": "test:\n",
        "tox.ini": "[pytest]\n[testenv]\ncommands = python -m pytest\n",
        ".github/workflows/a.yml": "- run: pytest\n- run: pytest tests\n",
        "tests/test_a.py": "",
    }
    assert [command for command, _ in found(files)] == ["python -m pytest", "make test", "python -m pytest tests"]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README": ""},
        {"pyproject.toml": "not = [toml"},
        {"setup.cfg": "no section\n"},
        {"package.json": "{"},
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        {"noxfile.py": "def ("},
        {"Makefile": "test := 1\n"},
        {".github/workflows/a.yml": "- run: pytest ${{ matrix.args }}\n"},
    ],
)
def test_what_says_nothing_is_nothing(files):
    """No settings, unreadable ones, or placeholders give no command and no error."""
    assert find_check_command(files, lambda path: files[path].encode() if path in files else None) is None


@pytest.mark.parametrize(
    ("command", "framework"),
    [
        ("python -m pytest -q", "pytest"),
        ("/x/bin/pytest tests", "pytest"),
        ("cd a && py.test", "pytest"),
        ("pip install pytest-cov", None),
        ("python -m unittest a.b", "unittest"),
        ("python manage.py test", "unittest"),
        ("npm run test -- x", "javascript"),
        ("make", None),
    ],
)
def test_the_framework_of_a_command(command, framework):
    """A command's words say what runs the tests."""
    assert framework_of(command) == framework


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("pytest", ()),
        ("pytest tests", ()),
        ("pytest -q tests/test_a.py tests/test_b.py::TestX::test_y[1-2]", ("tests/test_a.py", "tests/test_b.py")),
        ("pytest './tests/test_a.py::test_x[a b]' # note", ("tests/test_a.py",)),
        ("cd tests && python -m pytest test_a.py ../other/test_c.py", ("tests/test_a.py", "other/test_c.py")),
        ("cd tests&&pytest test_a.py;echo done", ("tests/test_a.py",)),
        ("pytest --deselect=tests/test_a.py", ("tests/test_a.py",)),
        ("python -m unittest tests.test_a.Case.test_x", ("tests/test_a.py",)),
        ("python tests/test_a.py", ("tests/test_a.py",)),
        ("cat ../tests/test_a.py /tests/test_a.py", ()),
        ("pytest 'tests/test_a.py", ()),
    ],
)
def test_the_files_a_command_names(command, files):
    """Paths in a command's words are found, with test ids cut off, wherever the command goes first; never outside the tree."""
    tree = {"tests/test_a.py", "tests/test_b.py", "other/test_c.py"}
    assert check_files(command, tree.__contains__) == files


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("PYTHONPATH=src  DEBUG='two  words' pytest x.py", "PYTHONPATH=src  DEBUG='two  words' "),
        ("env A=1 B= python -m pytest", "A=1 B= "),
        ("A=$PWD/src:x pytest", "A=$PWD/src:x "),
        ("pytest A=1", ""),
        ("A=1 && pytest", ""),
        ("A=1; pytest", ""),
        ("A=$(rm x) pytest", ""),
        ("", ""),
    ],
)
def test_settings_are_taken_over(command, settings):
    """Variables that a check gives its command are given to the commands made after it; what only looks like them is not."""
    assert command_for_tests(["test_a.py"], like=command) == f"{settings}python -m pytest -q test_a.py"
    assert all(made.startswith(f"{settings}python -m ") for made in commands_for_files(["test_a.py"], like=command))


def test_a_command_for_some_tests():
    """Ids and files become words that the shell leaves alone; kinds are not mixed."""
    assert command_for_tests(["t/test_a.py::test_x[$HOME]"]) == "python -m pytest -q 't/test_a.py::test_x[$HOME]'"
    assert command_for_tests(["a.test.ts", "b.test.js"]) == "npm test -- a.test.ts b.test.js"


@pytest.mark.parametrize(
    ("check", "alike"),
    [
        ("A=b npx jest a.test.js -t 'x $y'", "A=b npx jest b.test.js"),
        ("npx mocha --require=./setup.js -r test/env.js test/a.js --grep=x", "npx mocha --require=./setup.js -r test/env.js b.test.js"),
        ("node --test --test-name-pattern x test/a.js", "node --test b.test.js"),
        ("cd sub && npx mocha test/a.js", ""),
        ("npx mocha test/*.js", ""),
        ("npx mocha 'test/a.js", ""),
        ("npm test -- test/a.js", ""),
        ("pytest", ""),
    ],
)
def test_whole_files_of_javascript_run_as_the_check_does(check, alike):
    """With the check's runner and its options, without its files and its choice of tests; what is no plain command is not rewritten."""
    assert commands_for_files(["b.test.js"], like=check) == (
        *([alike] if alike else []),
        f"{'A=b ' if alike[:1] == 'A' else ''}npm test -- b.test.js",
    )
    assert command_for_tests([]) is None and command_for_tests(["a.py", "b.js"]) is None and command_for_tests(["a.rb"]) is None
