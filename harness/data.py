"""Files of instances: the forms that data sets of the SWE-bench family come in, read into one value.

A form is told by the columns it has and the others have not, or named. Keys are compared without regard to case, lists of tests may be lists, JSON text
or Python literals, and a column that no form knows is named in the notes, never guessed at. What is missing or has the wrong shape is an error that
names the field and the instance.
"""

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from backstory.errors import UserError
from backstory.harness.instances import Instance, Setup

Form = Literal["classic", "live", "rebench"]
"""classic: SWE-bench itself (full, Lite, Verified, Multilingual), SWE-Gym; live: SWE-bench-Live; rebench: SWE-rebench and its second version."""

FORMS: tuple[Form, ...] = get_args(Form)
# Columns by which a form is told from the classic one.
_TELLING: Mapping[str, Form] = {"install_config": "rebench", "test_cmds": "live", "rebuild_cmds": "live"}
# Columns of forms that no adapter reads yet, and whose form it is.
_FOREIGN = {
    "fix_patch": "Multi-SWE-bench",
    "dockerhub_tag": "SWE-bench Pro",
    "image_name": "SWE-smith",
    "trajectory": "a set of trajectories, which holds no instances",
}
_NEEDED = ("instance_id", "repo", "base_commit", "problem_statement", "patch")
_JUDGING = ("test_patch", "fail_to_pass", "pass_to_pass")
_OPTIONAL = ("version", "created_at", "hints_text")
# What `bench mine` tells of where an instance comes from.
_OF_MINING = frozenset({"fix_commit", "statement_from", "statement_overlap", "statement_withheld", "collected_before"})
# What the forms have besides; of no use here.
_PASSED_OVER: Mapping[Form, frozenset[str]] = {
    "classic": frozenset(
        {"environment_setup_commit", "difficulty", "image_assets", "image", "eval_script", "log_parser", "eval_type", "split"} | _OF_MINING
    ),
    "live": frozenset(
        {
            "all_hints_text",
            "commit_url",
            "commit_urls",
            "difficulty",
            "docker_image",
            "image",
            "issue_numbers",
            "language",
            "log_parser",
            "parser",
        }
        | {"print_cmds", "pull_number", "rebuild_cmds", "test_cmds", "environment_setup_commit", "test_cmd", "instance_image_key"}
    ),
    "rebench": frozenset(
        {
            "docker_image",
            "environment",
            "environment_setup_commit",
            "image_name",
            "install_config",
            "interface",
            "issue_numbers",
            "language",
            "license",
        }
        | {"license_name", "meta", "pr_description", "requirements", "fail_to_fail", "pass_to_fail", "llm_score", "llm_metadata"}
        | _OF_MINING
    ),
}


@dataclass(frozen=True)
class Dataset:
    """What a file holds. notes: what a person should know, such as columns that are not read."""

    instances: tuple[Instance, ...]
    form: Form
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    """One row as it stands, keys in lower case. where: for a person."""

    values: Mapping[str, object]
    where: str

    @property
    def name(self) -> str:
        """How the row is named in an error."""
        found = self.values.get("instance_id")
        return f"instance {found!r} ({self.where})" if isinstance(found, str) and found else self.where

    def text(self, field: str, *, default: str | None = None) -> str:
        """Return a field that is text. default: for where it is absent or null."""
        value = self.values.get(field)
        if value is None and default is not None:
            return default
        if value is None:
            raise UserError(f"{self.name} lacks {field!r}; each needs {', '.join(_NEEDED)}")
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)  # versions are written as numbers here and there
        raise UserError(f"{self.name}: {field!r} is a {type(value).__name__}, not text")

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a field that is a list of texts, or JSON or a Python literal of one; absent and null are empty."""
        value = self.values.get(field)
        if isinstance(value, str):
            value = _literal(value)
        if value is None:
            return ()
        if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UserError(f"{self.name}: {field!r} is no list of texts, nor JSON or a Python literal of one")

    def table(self, field: str) -> "_Row":
        """Return a field that is an object, or JSON or a Python literal of one; absent and null are empty."""
        value = self.values.get(field)
        if isinstance(value, str):
            value = _literal(value)
        if value is not None and not isinstance(value, Mapping):
            raise UserError(f"{self.name}: {field!r} is no object")
        return _Row({str(name).lower(): found for name, found in (value or {}).items()}, f"{field!r} of {self.name}")


def read_dataset(path: Path, *, form: Form | None = None, judged: bool = False, split: str = "") -> Dataset:
    """Return the instances of a file or of all files in a folder, by repository and otherwise as they stand.

    path: JSON lines, JSON (a list, or an object by id) or Parquet, told by its ending; what has another ending is read as JSON lines. form: None tells
    it by the columns. judged: whether the tests that judge a fix are needed. split: of a folder, only files of that name, or whose names begin with it
    and a `-`, as the shards of a split do.
    Raises UserError naming the instance and the field for what is missing, has the wrong shape or occurs twice.
    """
    rows = list(_rows(path, split))
    if not rows:
        raise UserError(f"there is no instance in {str(path)!r}")
    form = form or _form_of(rows[0])
    instances = [_instance(row, form, judged=judged) for row in rows]
    seen: dict[str, str] = {}
    for row, instance in zip(rows, instances, strict=True):
        if instance.id in seen:
            raise UserError(f"instance {instance.id!r} stands twice: {seen[instance.id]} and {row.where}")
        seen[instance.id] = row.where
    # Bases near each other share most of what is parsed and installed.
    return Dataset(tuple(sorted(instances, key=lambda instance: instance.repository)), form, tuple(_notes(rows, instances, form)))


def is_cut(test: str) -> bool:
    """Return whether a test's id was cut at a blank within its parameters, as 684 of SWE-bench are.

    >>> is_cut("tests/test_a.py::test_b[1"), is_cut("tests/test_a.py::test_b[1 2]")
    (True, False)
    """
    return test.count("[") > test.count("]")


def _rows(path: Path, split: str) -> Iterator[_Row]:
    files = sorted(file for file in path.rglob("*") if file.suffix in _READERS and _is_of(file, split)) if path.is_dir() else [path]
    if not files:
        raise UserError(f"there is no file of instances ({', '.join(_READERS)}) in {str(path)!r}")
    for file in files:
        try:
            for place, value in _READERS.get(file.suffix, _json_lines)(file):
                if not isinstance(value, Mapping):
                    raise UserError(f"{place} of {str(file)!r} is no instance but {type(value).__name__}")
                yield _Row({str(name).lower(): found for name, found in value.items()}, f"{place} of {str(file)!r}")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the instances in {str(file)!r}: {error}") from error


def _is_of(file: Path, split: str) -> bool:
    return not split or file.stem == split or file.name.startswith(f"{split}-")


def _json_lines(file: Path) -> Iterator[tuple[str, object]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except ValueError as error:
                    raise UserError(f"line {number} of {str(file)!r} is no JSON: {error}") from error


def _json(file: Path) -> Iterator[tuple[str, object]]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        if "Extra data" in str(error):  # lines under the wrong name
            yield from _json_lines(file)
            return
        raise UserError(f"{str(file)!r} is no JSON: {error}") from error
    if isinstance(whole, dict) and "instance_id" not in whole:
        whole = list(whole.values())
    for number, value in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield f"item {number}", value


def _parquet(file: Path) -> Iterator[tuple[str, object]]:
    try:
        from pyarrow import ArrowException, parquet  # an optional extra, and only for who has such files
    except ImportError as error:
        raise UserError(f"reading {str(file)!r} needs pyarrow; pip install 'backstory[parquet]'") from error
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield f"row {number}", value
    except ArrowException as error:
        raise UserError(f"{str(file)!r} is no Parquet file: {error}") from error


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, object]]]] = {".jsonl": _json_lines, ".json": _json, ".parquet": _parquet}


def _form_of(row: _Row) -> Form:
    found = next((form for column, form in _TELLING.items() if row.values.get(column) is not None), None)
    if found is None:
        foreign = next((column for column in _FOREIGN if column in row.values), None)
        if foreign is not None and "test_patch" not in row.values:
            raise UserError(f"{row.name} has {foreign!r}, a field of {_FOREIGN[foreign]}; there are adapters for {', '.join(FORMS)}")
    return found or "classic"


def _instance(row: _Row, form: Form, *, judged: bool) -> Instance:
    needed = {field: row.text(field) for field in _NEEDED}
    absent = [field for field in _JUDGING if row.values.get(field) is None]
    if judged and absent:
        raise UserError(f"{row.name} lacks {absent[0]!r}, without which no fix can be judged")
    if judged and not row.texts("fail_to_pass"):
        raise UserError(f"{row.name}: 'FAIL_TO_PASS' is empty; there would be nothing to judge by")
    return Instance(
        id=needed["instance_id"],
        repository=needed["repo"],
        base=needed["base_commit"],
        text=needed["problem_statement"],
        patch=needed["patch"],
        test_patch=row.text("test_patch", default=""),
        fail_to_pass=row.texts("fail_to_pass"),
        pass_to_pass=row.texts("pass_to_pass"),
        version=row.text("version", default=""),
        created_at=row.text("created_at", default=""),
        hints=row.text("hints_text", default=""),
        setup=_SETUPS[form](row),
    )


def _classic(row: _Row) -> Setup:
    return Setup(parser=row.text("log_parser", default=""), image=row.text("image", default=""), script=row.text("eval_script", default=""))


def _live(row: _Row) -> Setup:
    commands = row.texts("test_cmds")
    return Setup(
        commands=row.texts("rebuild_cmds"),
        test_command=" && ".join(commands),
        parser=row.text("log_parser", default=row.text("parser", default="")),
        image=row.text("docker_image", default=row.text("image", default="")),
    )


def _rebench(row: _Row) -> Setup:
    config = row.table("install_config")
    packages = config.texts("pip_packages")
    commands = [*_commands(config, "pre_install"), *([f"python -m pip install {' '.join(packages)}"] if packages else [])]
    return Setup(
        python=config.text("python", default=""),
        commands=(*commands, *_commands(config, "install")),
        test_command=" && ".join(_commands(config, "test_cmd")),
        parser=config.text("log_parser", default=""),
        image=row.text("docker_image", default=row.text("image_name", default="")),
        one=config.text("one", default=""),
        at=config.text("at", default=""),
    )


_SETUPS: Mapping[Form, Callable[[_Row], Setup]] = {"classic": _classic, "live": _live, "rebench": _rebench}


def _commands(row: _Row, field: str) -> tuple[str, ...]:
    """Return a field that is one command or a list of them."""
    value = row.values.get(field)
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return (value,) if value.strip() else ()
    return row.texts(field)


def _literal(text: str) -> object:
    """Return what JSON text or a Python literal says; the text itself when it is neither."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _notes(rows: Iterable[_Row], instances: Sequence[Instance], form: Form) -> Iterator[str]:
    known = {*_NEEDED, *_JUDGING, *_OPTIONAL, *_PASSED_OVER[form]}
    unknown: dict[str, str] = {}
    for row in rows:
        for column in row.values.keys() - known:
            unknown.setdefault(column, row.name)
    for column, name in sorted(unknown.items()):
        yield f"the field {column!r} is not known in the form {form!r} and not read; first seen in {name}"
    cut = {instance.id: sum(map(is_cut, (*instance.fail_to_pass, *instance.pass_to_pass))) for instance in instances}
    cut = {id: count for id, count in cut.items() if count}
    if cut:
        yield f"{sum(cut.values())} ids of tests in {len(cut)} instances are cut at a blank; each stands for all tests that begin with it"
