"""The documentation says what the code does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backstory.errors import ExitCode

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "AGENTS.md", ROOT / "CHANGELOG.md"]


def generate(*arguments, script=ROOT / "docs" / "generate.py"):
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def test_generated_parts_are_up_to_date():
    """What `make docs` would write is what stands there."""
    done = generate("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_drift_is_found_and_mended(tmp_path):
    """A part that was changed by hand fails the check, and is written anew without it."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("docs/generate.py", "docs/cli.md", "tests/test_layout.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    page, script = tmp_path / "docs" / "cli.md", tmp_path / "docs" / "generate.py"
    page.write_text(page.read_text().replace("| 3 | No patch", "| 3 | A patch"))
    checked = generate("--check", script=script)
    assert (checked.returncode, checked.stdout) == (1, "docs/cli.md: out of date, run `make docs`\n")
    assert generate(script=script).stdout == "docs/cli.md: written\n"
    assert page.read_text() == (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_exit_code_is_explained():
    """The table of exit codes has a row for each."""
    table = (ROOT / "docs" / "cli.md").read_text()
    assert all(f"| {code.value} | " in table for code in ExitCode)


def test_the_readme_names_the_two_commands_of_the_makefile():
    """What a newcomer is told to type exists."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in readme and f"\n{target}: " in makefile


def check_schema(schema, path):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is among the dev tools")
    return subprocess.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path], capture_output=True, text=True)


def test_the_action_is_valid_and_a_misspelt_one_is_not(tmp_path):
    """action.yml follows the schema that ships with check-jsonschema, which does tell a wrong key."""
    done = check_schema("vendor.github-actions", ROOT / "action.yml")
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / "action.yml").read_text().replace("using:", "use:"))
    assert check_schema("vendor.github-actions", wrong).returncode == 1


def test_the_sample_workflow_is_valid(tmp_path):
    """The workflow in docs/action.md follows the schema, asks for reading alone and uses only inputs that exist."""
    text = (ROOT / "docs" / "action.md").read_text()
    workflow = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    path = tmp_path / "look.yml"
    path.write_text(workflow)
    done = check_schema("vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout
    assert "permissions:\n  contents: read\n" in workflow
    assert "pull_request_target" not in workflow
    inputs = re.findall(r"^  (\w+):\n    description:", (ROOT / "action.yml").read_text(), re.MULTILINE)
    assert inputs == re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_the_action_interpolates_nothing_into_its_scripts():
    """Inputs reach a script through the environment only, so that none becomes part of it."""
    text = (ROOT / "action.yml").read_text()
    for script in re.findall(r"run: \|\n((?: {8}.*\n)+)", text):
        assert "${{" not in script


def test_the_version_has_an_entry_in_the_changelog():
    """CHANGELOG.md speaks of the version the package has, or of what is not released yet."""
    import backstory

    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{backstory.__version__}]" in text or "## [Unreleased]" in text


@pytest.mark.parametrize(
    ("section", "module", "function"),
    [("## `fix --json`", "show.py", "outcome_json"), ("## `why --json`", "past.py", "_event_json")],
)
def test_json_fields_are_documented(section, module, function):
    """The fields of a run's outcome, and of an event of the past, are the rows of their tables in docs/output.md."""
    source = (ROOT / "harness" / module).read_text()
    body = source[source.index(f"def {function}") :].partition("\n\n\n")[0]
    fields = re.findall(r'^        "(\w+)":', body, re.MULTILINE)
    page = (ROOT / "docs" / "output.md").read_text()
    table = page[page.index(section) :].split("\n## ")[0]
    rows = [name for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE) for name in re.findall(r"\w+", row)]
    assert fields == rows, json.dumps(fields)
