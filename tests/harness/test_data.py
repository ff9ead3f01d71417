"""Files of instances in every form that is read, and what is said of those that are not."""

import json

import pytest

from backstory.errors import UserError
from backstory.harness.data import read_dataset

NEEDED = {"instance_id": "a__b-1", "repo": "a/b", "base_commit": "c", "problem_statement": "t", "patch": "p"}
JUDGED = {**NEEDED, "test_patch": "tp", "FAIL_TO_PASS": '["t::a"]', "PASS_TO_PASS": ["t::b", "t::c"]}


def written(tmp_path, *rows, name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_instances_come_by_repository(tmp_path):
    """Lines are read in the order of the file within each repository; empty lines are left out."""
    rows = [{**NEEDED, "instance_id": id, "repo": repo} for id, repo in (("2", "b/b"), ("9", "a/a"), ("1", "b/b"))]
    path = written(tmp_path, *rows)
    path.write_text(path.read_text().replace("\n", "\n\n"))
    assert [instance.id for instance in read_dataset(path).instances] == ["9", "2", "1"]


@pytest.mark.parametrize("written_as", [["t::a", "t::b c"], '["t::a", "t::b c"]', "['t::a', 't::b c']"])
def test_lists_of_tests_are_read_however_they_are_written(tmp_path, written_as):
    """A list, JSON text and a Python literal say the same."""
    row = {**JUDGED, "FAIL_TO_PASS": written_as}
    assert read_dataset(written(tmp_path, row), judged=True).instances[0].fail_to_pass == ("t::a", "t::b c")


def test_keys_are_read_without_regard_to_case(tmp_path):
    """`fail_to_pass` and `FAIL_TO_PASS` are one field; versions may be numbers."""
    row = {**NEEDED, "TEST_PATCH": "tp", "fail_to_pass": ["x"], "Pass_To_Pass": [], "version": 3.1}
    instance = read_dataset(written(tmp_path, row), judged=True).instances[0]
    assert (instance.test_patch, instance.fail_to_pass, instance.pass_to_pass, instance.version) == ("tp", ("x",), (), "3.1")


def test_a_json_file_may_hold_a_list_an_object_by_id_or_lines(tmp_path):
    """Three layouts of one instance are read alike."""
    for text in (
        json.dumps([JUDGED]),
        json.dumps({"a__b-1": JUDGED}),
        f"{json.dumps(JUDGED)}\n{json.dumps({**JUDGED, 'instance_id': 'z'})}",
    ):
        path = tmp_path / "rows.json"
        path.write_text(text)
        assert read_dataset(path).instances[0].id == "a__b-1"


def test_a_folder_is_all_its_files(tmp_path):
    """The shards of a data set are read together."""
    (tmp_path / "data").mkdir()
    written(tmp_path / "data", JUDGED, name="b.jsonl")
    written(tmp_path / "data", {**JUDGED, "instance_id": "a__b-2"}, name="a.jsonl")
    (tmp_path / "data" / "README.md").write_text("no data")
    assert [instance.id for instance in read_dataset(tmp_path / "data").instances] == ["a__b-2", "a__b-1"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no file of instances"):
        read_dataset(tmp_path / "none")


def test_parquet_is_read_where_pyarrow_is_there(tmp_path):
    """The columns of a Parquet file are read as those of lines are; lists need no JSON."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist([JUDGED]), tmp_path / "rows.parquet")
    assert read_dataset(tmp_path / "rows.parquet").instances[0].pass_to_pass == ("t::b", "t::c")


def test_the_live_form_brings_commands_and_an_image(tmp_path):
    """SWE-bench-Live is told by its commands; they become the instance's own set-up."""
    row = {
        **JUDGED,
        "test_cmds": ["pytest -rA", "true"],
        "rebuild_cmds": ["pip install -e ."],
        "docker_image": "x/y",
        "log_parser": "pytest",
    }
    data = read_dataset(written(tmp_path, row), judged=True)
    setup = data.instances[0].setup
    assert (data.form, setup.test_command, setup.commands, setup.image, setup.parser) == (
        "live",
        "pytest -rA && true",
        ("pip install -e .",),
        "x/y",
        "pytest",
    )


def test_the_rebench_form_brings_an_interpreter_and_an_installation(tmp_path):
    """SWE-rebench is told by its installation, whose parts come in their order."""
    config = {"python": "3.9", "pre_install": ["a"], "pip_packages": ["p", "q==1"], "install": "b", "test_cmd": "pytest", "log_parser": "l"}
    for value in (config, json.dumps(config), repr(config)):
        data = read_dataset(written(tmp_path, {**JUDGED, "install_config": value}))
        setup = data.instances[0].setup
        assert (data.form, setup.python, setup.commands) == ("rebench", "3.9", ("a", "python -m pip install p q==1", "b"))
        assert (setup.test_command, setup.parser) == ("pytest", "l")


def test_a_form_can_be_named(tmp_path):
    """What the columns say is overruled by the form that is asked for."""
    row = {**JUDGED, "test_cmds": ["x"]}
    assert read_dataset(written(tmp_path, row), form="classic").instances[0].setup.test_command == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patch": None}, r"instance 'a__b-1' \(line 1 of .*\) lacks 'patch'"),
        ({"test_patch": None}, "instance 'a__b-1' .* lacks 'test_patch'"),
        ({"FAIL_TO_PASS": 3}, "instance 'a__b-1' .*: 'fail_to_pass' is no list"),
        ({"FAIL_TO_PASS": "[broken"}, "instance 'a__b-1' .*: 'fail_to_pass' is no list"),
        ({"FAIL_TO_PASS": []}, "instance 'a__b-1' .*: 'FAIL_TO_PASS' is empty"),
        ({"repo": ["a"]}, "instance 'a__b-1' .*: 'repo' is a list, not text"),
        ({"install_config": "3"}, "instance 'a__b-1' .*: 'install_config' is no object"),
        ({"instance_id": None}, "line 1 of .* lacks 'instance_id'"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_instance(tmp_path, change, said):
    """The error says which field of which instance in which line."""
    with pytest.raises(UserError, match=said):
        read_dataset(written(tmp_path, {**JUDGED, **change}), judged=True)


@pytest.mark.parametrize(
    ("field", "whose"), [("fix_patch", "Multi-SWE-bench"), ("image_name", "SWE-smith"), ("trajectory", "trajectories")]
)
def test_a_form_nobody_reads_is_named(tmp_path, field, whose):
    """A set of another family is refused by its name, not read for what it is not."""
    with pytest.raises(UserError, match=whose):
        read_dataset(written(tmp_path, {"instance_id": "x", field: "y"}))


def test_columns_nobody_knows_and_cut_ids_are_noted(tmp_path):
    """A field that is not read is named with the first instance that has it, and ids that were cut are counted."""
    rows = [JUDGED, {**JUDGED, "instance_id": "z", "colour": 1, "FAIL_TO_PASS": ["t::a[1", "t::a[1]"]}]
    notes = read_dataset(written(tmp_path, *rows)).notes
    assert notes[0].startswith("the field 'colour' is not known in the form 'classic' and not read; first seen in instance 'z'")
    assert notes[1].startswith("1 ids of tests in 1 instances are cut")


def test_an_instance_that_stands_twice_is_refused(tmp_path):
    """Two rows of one id would be run and counted twice."""
    with pytest.raises(UserError, match=r"instance 'a__b-1' stands twice: line 1 .* and line 2"):
        read_dataset(written(tmp_path, JUDGED, JUDGED))


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_line_that_is_no_instance_is_named(tmp_path, text):
    """What cannot be read is told with its line."""
    path = written(tmp_path, NEEDED)
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_dataset(path)
    with pytest.raises(UserError, match="cannot read"):
        read_dataset(tmp_path / "none.jsonl")
