"""How a repository is tested, as a command; and which test files a command names. Pure: nothing is run.

What a repository says here is a suggestion, shown to the user and run only inside the sandbox.
"""

import ast
import json
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from backstory.graph.languages import is_test
from backstory.graph.types import RepoPath
from backstory.tools.dependencies import Read
from backstory.tools.formats import ini, text_of, toml_table

Framework = Literal["pytest", "unittest", "javascript"]

PYTEST = "python -m pytest"
_PYTEST_WORD = re.compile(r"(?:^|[\s;&|(/])(?:pytest|py\.test)(?=$|[\s;&|)])")
_UNITTEST_WORD = re.compile(r"(?:^|\s)-m\s+unittest\b|manage\.py\s+test\b|\bsetup\.py\s+test\b")
_JAVASCRIPT_WORD = re.compile(
    r"(?:^|[\s;&|(/])(?:jest|vitest|mocha|ava|tap|(?:npm|yarn|pnpm)\s+(?:run\s+)?test|node\s+--test)(?=$|[\s;&|)])"
)
_IS_JAVASCRIPT = re.compile(r"\.[cm]?[jt]sx?$")
# How runners of JavaScript are told which tests of their files to run; each takes one word.
_CHOOSING = frozenset({"-g", "--grep", "-f", "--fgrep", "-t", "--testNamePattern", "--test-name-pattern"})
_OF_THE_SHELL = re.compile(r"[;&|()<>$`*?]")
_TEST_FILE = re.compile(r"(?:.*/)?(?:test_[^/]*|[^/]*_tests?)\.py|(?:.*/)?tests?\.py")
_TEST_FOLDERS = ("tests", "test", "testing", "__tests__", "spec")
_NO_TEST = "no test specified"  # what `npm init` writes
_OPENERS = ("pytest", "py.test", "python", "python3", "nosetests", "trial", "stestr", "npm", "yarn", "pnpm", "npx", "node")

_SETTINGS = re.compile(r"""\s*(?:env\s+)?((?:[A-Za-z_]\w*=(?:'[^']*'|"[^"]*"|[^\s'"|&;()<>`])*\s+(?![|&;]))+)""")
_TEST_ID = re.compile(r"[^:\s]+\.\w+::\w")


@dataclass(frozen=True)
class CheckCommand:
    """A way to run the tests. found_in: the file, and the place in it, that says so."""

    command: str
    found_in: str


def find_check_command(paths: Collection[RepoPath], read: Read) -> CheckCommand | None:
    """Return the likeliest way to run all tests of a tree, or None."""
    return next(iter(find_check_commands(paths, read)), None)


def find_check_commands(paths: Collection[RepoPath], read: Read) -> tuple[CheckCommand, ...]:
    """Return every way to run the tests that a tree's files speak of, likeliest first, each command once.

    Backstory's own setting first; then pytest where it is configured; then what tox, nox, hatch, make, the CI and package.json run.
    """
    found: dict[str, CheckCommand] = {}
    for finder in (_own, _pytest_configured, _tox, _nox, _hatch, _package_json, _make, _workflows, _by_tests):
        for candidate in finder(paths, lambda path: read(path) or b""):
            found.setdefault(candidate.command, candidate)
    return tuple(found.values())


def framework_of(command: str) -> Framework | None:
    """Return what a command runs tests with, as far as its words say."""
    if _PYTEST_WORD.search(command):
        return "pytest"
    if _UNITTEST_WORD.search(command):
        return "unittest"
    return "javascript" if _JAVASCRIPT_WORD.search(command) else None


def command_for_tests(tests: Sequence[str], *, like: str = "") -> str | None:
    """Return a command that runs only these test files or ids (`path::Class::name`), or None when they are of no one known kind.

    like: a command whose settings, variables given before it, are needed here too.

    >>> command_for_tests(["tests/test_a.py::test_x[1 2]", "tests/test_b.py"], like="PYTHONPATH=src pytest")
    "PYTHONPATH=src python -m pytest -q 'tests/test_a.py::test_x[1 2]' tests/test_b.py"
    """
    if not tests:
        return None
    files = [test.partition("::")[0] for test in tests]
    if all(file.endswith(".py") for file in files):
        return f"{_settings(like)}{PYTEST} -q {shlex.join(tests)}"
    if all(_IS_JAVASCRIPT.search(file) for file in files):
        return f"{_settings(like)}npm test -- {shlex.join(dict.fromkeys(files))}"
    return None


def commands_for_files(files: Sequence[RepoPath], *, like: str = "") -> tuple[str, ...]:
    """Return ways to run whole test files of one kind, the one that tells most first; a file that cannot be collected does not stop the others.

    like: as of `command_for_tests`.

    >>> commands_for_files(["tests/test_a.py"])
    ('python -m pytest -q --continue-on-collection-errors tests/test_a.py', 'python -m unittest -q tests/test_a.py')
    >>> commands_for_files(["test/b.js"], like="npx mocha --require test/setup test/a.js --fgrep 'adds up'")
    ('npx mocha --require test/setup test/b.js', 'npm test -- test/b.js')
    """
    if files and all(file.endswith(".py") for file in files):
        words, settings = shlex.join(files), _settings(like)
        return (f"{settings}{PYTEST} -q --continue-on-collection-errors {words}", f"{settings}python -m unittest -q {words}")
    command = command_for_tests(files, like=like)
    return () if command is None else tuple(filter(None, (_with_files(like, files), command)))


def _with_files(command: str, files: Sequence[RepoPath]) -> str:
    """Return a command of a JavaScript runner with other test files, and no choice among their tests; "" for one that is more than a plain command."""
    lexer = shlex.shlex(command, posix=False, punctuation_chars=";&|()<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        plain = not any(_OF_THE_SHELL.search(word) for word in lexer if word[:1] not in "'\"")
        words = shlex.split(command)
    except ValueError:  # an open quote
        return ""
    if not plain or framework_of(command) != "javascript" or not {"npm", "yarn", "pnpm"}.isdisjoint(words):
        return ""
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        is_choice = before in _CHOOSING or word.partition("=")[0] in _CHOOSING
        is_file = _IS_JAVASCRIPT.search(word) and is_test(RepoPath(word)) and not before.startswith("-")
        if not is_choice and not is_file:
            kept.append(word)
    return shlex.join([*kept, *files])


def _settings(command: str) -> str:
    """Return the variables that a command is given, as they are written before it, with a blank after each."""
    found = _SETTINGS.match(command)
    return f"{found[1].rstrip()} " if found else ""


def tests_named(command: str) -> tuple[str, ...]:
    """Return the test ids (`path::Class::name`) that a command names, in its order.

    >>> tests_named("python -m pytest -q 'tests/test_a.py::test_x[1 2]' tests/test_b.py")
    ('tests/test_a.py::test_x[1 2]',)
    """
    return tuple(word for word in _words(command) if _TEST_ID.match(word))


def check_files(command: str, is_file: Callable[[RepoPath], bool]) -> tuple[RepoPath, ...]:
    """Return the files of the tree that a command names, in its order: paths, with test ids cut off, and dotted names of unittest.

    is_file: whether the tree has a file at a path. `cd folder &&` is followed. Folders name no file.

    >>> check_files("cd sub && pytest -q ./t/test_a.py::test_x", {"sub/t/test_a.py"}.__contains__)
    ('sub/t/test_a.py',)
    """
    found: dict[RepoPath, None] = {}
    folder = ""
    words = _words(command)
    for before, word in zip(["", *words], words, strict=False):
        if before == "cd":
            folder = _joined(folder, word) or ""
            continue
        for candidate in _named_paths(word, dotted=_UNITTEST_WORD.search(command) is not None):
            path = _joined(folder, candidate)
            if path and is_file(RepoPath(path)):
                found[RepoPath(path)] = None
                break
    return tuple(found)


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split = True
        lexer.commenters = ""
        return list(lexer)
    except ValueError:  # an open quote
        return command.split()


def _named_paths(word: str, *, dotted: bool) -> Iterator[str]:
    yield word
    if "=" in word:  # --option=path, NAME=path
        yield word.partition("=")[2]
    yield word.partition("::")[0]
    yield re.sub(r":\d+$", "", word)
    if dotted and re.fullmatch(r"\w+(?:\.\w+)+", word):
        parts = word.split(".")
        for length in range(len(parts), 0, -1):
            yield "/".join(parts[:length]) + ".py"


def _joined(folder: str, word: str) -> str | None:
    """Return `word` taken from `folder`, as a path in the tree; None when it leaves the tree."""
    if word.startswith("/"):
        return None
    parts: list[str] = []
    for part in [*folder.split("/"), *word.split("/")]:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


Content = Callable[[RepoPath], bytes]


def _own(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    check = toml_table(content(RepoPath("pyproject.toml")), "tool", "backstory").get("check")
    if isinstance(check, str) and check.strip():
        yield CheckCommand(check.strip(), "pyproject.toml [tool.backstory] check")


def _pytest_configured(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    if toml_table(content(RepoPath("pyproject.toml")), "tool", "pytest"):
        yield CheckCommand(PYTEST, "pyproject.toml [tool.pytest]")
    for path, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if ini(content(RepoPath(path))).has_section(section):
            yield CheckCommand(PYTEST, f"{path} [{section}]")


def _tox(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    for path in ("tox.ini", "setup.cfg"):
        parser = ini(content(RepoPath(path)))
        for section in ("testenv", "tox:testenv"):
            if parser.has_option(section, "commands"):
                for line in parser.get(section, "commands").splitlines():
                    command = _without_variables(line)
                    if command and framework_of(command):
                        yield CheckCommand(command, f"{path} [{section}] commands")


def _without_variables(line: str) -> str | None:
    """Return a line of tox with its substitutions made, or None when one is left."""
    line = re.sub(r"\{posargs(?::([^{}]*))?\}", lambda match: match[1] or "", line.strip().lstrip("-").strip())
    line = line.replace("{envpython}", "python").replace("{toxinidir}/", "").replace("{toxinidir}", ".").replace("[]", "")
    line = re.sub(r"^coverage run\s+(?:-p\s+)?-m\s+", "python -m ", line)
    return None if "{" in line else " ".join(line.split()) or None


def _nox(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    try:
        tree = ast.parse(text_of(content(RepoPath("noxfile.py"))))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
            words = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            if words and framework_of(shlex.join(words)):
                yield CheckCommand(_modular(shlex.join(words)), "noxfile.py")


def _hatch(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    environments = toml_table(content(RepoPath("pyproject.toml")), "tool", "hatch", "envs")
    for name, environment in environments.items():
        scripts = environment.get("scripts") if isinstance(environment, dict) else None
        for script, line in scripts.items() if isinstance(scripts, dict) else []:
            command = re.sub(r"\{args(?::([^{}]*))?\}", lambda match: match[1] or "", line) if isinstance(line, str) else ""
            if framework_of(command) and "{" not in command:
                yield CheckCommand(_modular(" ".join(command.split())), f"pyproject.toml [tool.hatch.envs.{name}.scripts] {script}")


def _package_json(_: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    try:
        package = json.loads(text_of(content(RepoPath("package.json"))) or "{}")
    except ValueError:
        return
    scripts = package.get("scripts") if isinstance(package, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if isinstance(script, str) and script.strip() and _NO_TEST not in script:
        yield CheckCommand("npm test", 'package.json "test"')


def _make(paths: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if name not in paths:
            continue
        targets = set(re.findall(r"(?m)^([\w-]+)\s*:(?!=)", text_of(content(RepoPath(name)))))
        for target in ("test", "tests", "check"):
            if target in targets:
                yield CheckCommand(f"make {target}", f"{name} {target}")


def _workflows(paths: Collection[RepoPath], content: Content) -> Iterator[CheckCommand]:
    """Yield lines of CI files that run tests; they are not parsed as YAML, since only whole command lines are of use."""
    ci = [
        path
        for path in sorted(paths)
        if re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", path) or path in (".gitlab-ci.yml", ".travis.yml")
    ]
    for path in ci:
        for line in text_of(content(RepoPath(path))).splitlines():
            command = re.sub(r"^[\s-]*(?:(?:run|script)\s*:)?\s*[|>]?[-+]?\s*", "", line).strip("'\" ")
            opener = command.partition(" ")[0]
            if opener in _OPENERS and framework_of(command) and "${{" not in command and "install" not in command:
                yield CheckCommand(_modular(command), path)


def _by_tests(paths: Collection[RepoPath], _: Content) -> Iterator[CheckCommand]:
    first = next((path for path in sorted(paths) if _TEST_FILE.fullmatch(path)), None)
    if first is not None:
        yield CheckCommand(PYTEST, f"tests such as {first}")


def _modular(command: str) -> str:
    """Return a command with a leading `pytest` started as a module: the same tests, with the work tree on the import path."""
    return re.sub(r"^(?:pytest|py\.test)(?=$|\s)", PYTEST, command)
