"""Where a configured value comes from, and what is refused."""

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory import config
from backstory.config import Language
from backstory.errors import UserError


def load(tmp_path, *, flags=(), environ=(), project=None, user=None):
    folders = config.Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "config")
    folders.config.mkdir(exist_ok=True)
    if user is not None:
        (folders.config / "config.toml").write_text(user)
    layer = config.from_project(project, origin="pyproject.toml at abc") if project is not None else None
    return config.load(flags=dict(flags), environ=dict(environ), folders=folders, project=layer)


def test_each_layer_gives_way_to_the_one_above(tmp_path):
    """Flag beats environment beats project beats the user's file beats the default, and each origin is known."""
    project = b'[tool.backstory]\ncheck = "project"\nexclude = ["vendor/"]\n'
    loaded = load(
        tmp_path,
        flags={"check": "flag"},
        environ={"BACKSTORY_CHECK": "env", "BACKSTORY_EXCLUDE": "a/, b.py"},
        project=project,
        user='check = "user"\nattempts = 3\nlanguages = ["python"]\n',
    )
    assert (loaded.project.check, loaded.origins["check"]) == ("flag", "flag")
    assert (loaded.project.exclude, loaded.origins["exclude"]) == (("a/", "b.py"), "environment")
    assert (loaded.project.languages, loaded.origins["languages"]) == (("python",), str(tmp_path / "config" / "config.toml"))
    assert (loaded.limits.attempts, loaded.limits.budget_seconds, loaded.origins["budget_seconds"]) == (3, None, "default")
    assert load(tmp_path, project=project).origins["check"] == "pyproject.toml at abc"


@given(st.sets(st.sampled_from(["flag", "environment", "project", "user"])))
def test_the_highest_layer_that_speaks_decides(speaking):
    """Whatever set of layers names a key, the first in the documented order wins."""
    order = ["flag", "environment", "project", "user"]
    layers = [config.Layer(origin, {"check": origin} if origin in speaking else {}) for origin in order]
    composed = config.compose(layers)
    winner = next((origin for origin in order if origin in speaking), "default")
    assert composed.origins["check"] == winner
    assert composed.project.check == (None if winner == "default" else winner)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"environ": {"BACKSTORY_CHEK": "x"}}, "unknown variable BACKSTORY_CHEK; did you mean 'BACKSTORY_CHECK'?"),
        ({"environ": {"BACKSTORY_ATTEMPTS": "many"}}, "BACKSTORY_ATTEMPTS: expected a whole number above 0, got 'many'"),
        (
            {"project": b'[tool.backstory]\nchekc = "x"\n'},
            "unknown key 'chekc' in [tool.backstory] of pyproject.toml at abc; did you mean 'check'?",
        ),
        ({"project": b"[tool.backstory]\ncheck = 3\n"}, "check in pyproject.toml at abc: expected text, got 3"),
        ({"user": 'sandbx = "none"\n'}, "did you mean 'sandbox'?"),
        ({"user": 'sandbox = "podman"\n'}, "expected one of auto, bwrap, docker, none, got 'podman'"),
        ({"user": "budget_seconds = -1\n"}, "expected a number of seconds above 0"),
        ({"user": "attempts = true\n"}, "expected a whole number above 0"),
        ({"user": 'languages = ["cobol"]\n'}, f"expected some of {', '.join(get_args(Language))}; not 'cobol'"),
        ({"user": "x = = 1\n"}, "is not valid TOML"),
        ({"user": "zzz = 1\n"}, "unknown key 'zzz'"),
        ({"flags": {"attempts": 0}}, "--attempts: expected a whole number above 0, got 0"),
    ],
)
def test_a_wrong_word_is_an_error_that_says_where(tmp_path, given, said):
    """Unknown keys and bad values name the place, the value and the nearest key."""
    with pytest.raises(UserError) as caught:
        load(tmp_path, **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_project_cannot_set_what_only_the_user_may(tmp_path):
    """An endpoint or a sandbox named by the project is ignored with one warning that names the file."""
    project = b'[tool.backstory]\napi_base = "http://evil.example"\nsandbox = "none"\ncheck = "pytest"\n'
    loaded = load(tmp_path, project=project)
    assert (loaded.model.api_base, loaded.execution.sandbox, loaded.project.check) == (None, "auto", "pytest")
    assert loaded.warnings == (
        "pyproject.toml at abc may not set api_base, sandbox; ignored (a project sets only check, exclude and languages)",
    )


def test_a_broken_project_file_stops_nothing(tmp_path):
    """A pyproject.toml that is not TOML is the project's affair; it is said once."""
    assert load(tmp_path, project=b"\xff[").warnings == ("pyproject.toml at abc is not valid TOML; what it says is ignored",)


def test_an_empty_variable_is_unset(tmp_path):
    """CI systems set variables to nothing; that means not given."""
    assert load(tmp_path, environ={"BACKSTORY_CHECK": ""}).origins["check"] == "default"


def test_folders_follow_their_variables_and_must_be_absolute(tmp_path):
    """Each of the three folders can be moved; a relative one would depend on where the command runs."""
    environ = {f"BACKSTORY_{name}_DIR": str(tmp_path / name) for name in ("CACHE", "STATE", "CONFIG")}
    assert config.folders(environ) == config.Folders(tmp_path / "CACHE", tmp_path / "STATE", tmp_path / "CONFIG")
    with pytest.raises(UserError, match="BACKSTORY_CACHE_DIR is 'here'; give an absolute path"):
        config.folders({"BACKSTORY_CACHE_DIR": "here"})


def test_every_key_is_documented_and_has_one_home():
    """The table of keys and the sections hold the same names, each with a line of doc."""
    sections = [part.name for section in (config.Project, config.Limits, config.Execution, config.ModelChoice) for part in fields(section)]
    assert sections == list(config.keys())
    assert all(key.doc for key in config.keys().values())
    assert list(config.compose([]).values()) == sections


def test_reading_defaults_needs_no_file(tmp_path):
    """A folder that is not there is an empty layer."""
    assert config.from_user_file(Path(tmp_path / "none" / "config.toml")).values == {}
