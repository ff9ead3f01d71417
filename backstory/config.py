"""What steers a run, composed once from every place that may say something, with the origin of each value.

Precedence: flag > environment `BACKSTORY_*` > `[tool.backstory]` of the project > the user's file > default. The project is text that anyone may
have written, so it may say only how it is checked, which paths to leave out and which languages it is in; what it says about anything else is
ignored with a warning. It is read at the base commit, never from the work tree. A key nobody knows is an error that names the nearest one, wherever it stands. `.env` is never read.

`backstory/cli.py` passes the environment in; with this module it is the only one that may look at it or at the home folder.
"""

import os
import tomllib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from backstory.errors import StorageError, UserError

PREFIX: Final = "BACKSTORY_"
PROJECT_FILE: Final = "pyproject.toml"
USER_FILE: Final = "config.toml"
FOLDER_VARIABLES: Final = ("BACKSTORY_CACHE_DIR", "BACKSTORY_STATE_DIR", "BACKSTORY_CONFIG_DIR")
# Variables with our prefix that say nothing to us: `--sandbox none` marks the processes of a check with it, and a check may run us.
_MARKS: Final = ("BACKSTORY_RUN",)
_LITELLM_VARIABLES: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_MODE": "PRODUCTION",  # any other loads `.env`
}
_LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")

Value = str | int | float | bool | tuple[str, ...] | None
SandboxChoice = Literal["auto", "bwrap", "docker", "none"]
Pull = Literal["missing", "always", "never"]
Handover = Literal["findings", "transcript"]
Language = Literal["python", "javascript", "typescript", "java", "go", "rust", "c", "cpp", "ruby", "php", "csharp"]


def _key(default: Value, doc: str, read: Callable[[object], Value], *, project: bool = False) -> Any:
    """A configurable field. doc: one line for the table of keys; read: its value from TOML or text, ValueError if it is none."""
    return field(default=default, metadata={"doc": doc, "read": read, "project": project})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):  # from the environment
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list) or not all(isinstance(part, str) and part for part in value):
        raise ValueError("expected a list of texts")
    return tuple(value)


def _languages(value: object) -> tuple[str, ...]:
    names = _texts(value)
    for name in names:
        if name not in get_args(Language):
            raise ValueError(f"expected some of {', '.join(get_args(Language))}; not {name!r}")
    return names


def _count(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("expected a whole number above 0")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ValueError("expected a number of seconds above 0")
    return float(value)


def _amount(value: object) -> float:
    try:
        return _seconds(value)
    except ValueError:
        raise ValueError("expected a number above 0") from None


def _temperature(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 2:
        raise ValueError("expected a number from 0 to 2")
    return float(value)


def _switch(value: object) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _one_of(kind: Any) -> Callable[[object], str]:
    """Return what reads one of the words of a `Literal`."""

    def read(value: object) -> str:
        if value not in get_args(kind):
            raise ValueError(f"expected one of {', '.join(get_args(kind))}")
        return cast(str, value)

    return read


@dataclass(frozen=True)
class Project:
    """What the project itself may say."""

    check: str | None = _key(None, "Command that shows the fault: fails now, passes when it is mended", _text, project=True)
    exclude: tuple[str, ...] = _key(
        (), "Paths to leave out of searches and patches: shell patterns, a folder ends with `/`", _texts, project=True
    )
    languages: tuple[str, ...] = _key(
        get_args(Language), "Languages whose files are searched: " + ", ".join(get_args(Language)), _languages, project=True
    )


@dataclass(frozen=True)
class Limits:
    """What a run may spend; None is without limit."""

    attempts: int = _key(1, "Independent attempts at a repair", _count)
    check_timeout: float = _key(300.0, "Seconds one check may take before it counts as timed out", _seconds)
    budget_seconds: float | None = _key(None, "Seconds of wall clock a run may take", _seconds)
    budget_steps: int | None = _key(None, "Steps (checks run, replies of a model) a run may take", _count)
    budget_tokens: int | None = _key(None, "Tokens a run may spend on a model, in and out", _count)


@dataclass(frozen=True)
class Execution:
    """How commands of the repository run."""

    sandbox: SandboxChoice = _key(  # noqa: RUF009 (`_key` is `dataclasses.field` with its documentation)
        "auto",
        "`bwrap` runs them in bubblewrap, `docker` in containers, `auto` in the first of these that works here, or it refuses; `none` runs them unprotected",
        _one_of(SandboxChoice),
    )
    image: str | None = _key(None, "Image whose programs commands run with, in containers; those of this machine if unset", _text)
    image_platform: str | None = _key(None, "Platform of the image, such as `linux/amd64`; the engine's own if unset", _text)
    pull: Pull = _key("missing", "When an image is fetched: `missing`, `always` or `never`", _one_of(Pull))  # noqa: RUF009 (as above)
    cpus: float | None = _key(None, "Cores that one command may use at once, in containers", _amount)
    free_gib: float = _key(2.0, "GiB that must be free on the engine's disk before an image is fetched or a container begins", _amount)
    prepare: bool = _key(False, "Install what the repository needs into an environment of its own, with network", _switch)


@dataclass(frozen=True)
class ModelChoice:
    """Which model is asked for what history could not mend; none unless one is named. The key itself is never configured, only where it is."""

    model: str | None = _key(
        None, "Name of the model, as litellm names it: `hosted_vllm/NAME`, `openai/NAME`, `anthropic/NAME`, ...", _text
    )
    api_base: str | None = _key(
        None,
        "Address of the model's API, such as `http://127.0.0.1:8000/v1`, or several with commas between; the provider's own if unset",
        _text,
    )
    api_key_env: str | None = _key(
        None, "Environment variable that holds the key; if unset, `PROVIDER_API_KEY` of the model's provider, where there is one", _text
    )
    temperature: float | None = _key(None, "Temperature of the first attempt; the server's own if unset", _temperature)
    context_tokens: int | None = _key(None, "Tokens of the model's window; a longer prompt is compacted before it is sent", _count)
    reply_timeout: float = _key(600.0, "Seconds one reply of the model may take, with its retries", _seconds)
    handover: Handover = _key(  # noqa: RUF009 (as above)
        "findings",
        "What whoever repairs begins with: the `findings` of the search for the place, or its whole `transcript`",
        _one_of(Handover),
    )


@dataclass(frozen=True)
class Folders:
    """Where Backstory keeps what it writes. cache: can be made again; state: runs; config: the user's file."""

    cache: Path
    state: Path
    config: Path


@dataclass(frozen=True)
class Config:
    """The whole configuration in force, and where each value came from ("default" if nowhere)."""

    project: Project
    limits: Limits
    execution: Execution
    model: ModelChoice
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def values(self) -> dict[str, Value]:
        """Return every value by key, in the order of `keys`."""
        sections = (self.project, self.limits, self.execution, self.model)
        return {part.name: getattr(section, part.name) for section in sections for part in fields(section)}


@dataclass(frozen=True)
class Key:
    """One thing that can be configured. project: whether the project may say it."""

    name: str
    default: Value
    doc: str
    read: Callable[[object], Value]
    project: bool

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


@dataclass(frozen=True)
class Layer:
    """What one place says, already read and checked. origin: how the place is named to a person."""

    origin: str
    values: Mapping[str, Value]
    warnings: tuple[str, ...] = ()


_SECTIONS = (Project, Limits, Execution, ModelChoice)


def _key_of(part: "Field[Any]") -> Key:
    assert part.default is not MISSING
    return Key(part.name, part.default, part.metadata["doc"], part.metadata["read"], part.metadata["project"])


def keys() -> dict[str, Key]:
    """Return every key by name, in the order they are shown."""
    return {part.name: _key_of(part) for section in _SECTIONS for part in fields(section)}


def compose(layers: Sequence[Layer]) -> Config:
    """Return the configuration where the first layer that names a key decides it."""
    known = keys()
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    for name, key in known.items():
        saying = next((layer for layer in layers if name in layer.values), None)
        values[name] = key.default if saying is None else saying.values[name]
        origins[name] = "default" if saying is None else saying.origin

    def section(kind: type[Any]) -> Any:
        return kind(**{part.name: values[part.name] for part in fields(kind)})

    warnings = tuple(warning for layer in layers for warning in layer.warnings)
    return Config(section(Project), section(Limits), section(Execution), section(ModelChoice), origins, warnings)


def from_flags(flags: Mapping[str, Value]) -> Layer:
    """Return the layer of the command line; None and empty sequences were not given. Raises UserError for a value out of range."""
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    return Layer(
        "flag",
        {
            name: _read(keys()[name], list(value) if isinstance(value, tuple) else value, f"--{name.replace('_', '-')}")
            for name, value in given.items()
        },
    )


def from_environment(environ: Mapping[str, str]) -> Layer:
    """Return the layer of `BACKSTORY_*`; an empty variable counts as unset. Raises UserError for an unknown one or a bad value."""
    known = {key.variable: key for key in keys().values()}
    values: dict[str, Value] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name not in (*FOLDER_VARIABLES, *_MARKS)):
        if variable not in known:
            raise UserError(f"unknown variable {variable}{_nearest(variable, [*known, *FOLDER_VARIABLES])}")
        if environ[variable]:
            key = known[variable]
            values[key.name] = _read(key, environ[variable], variable)
    return Layer("environment", values)


def from_project(text: bytes | None, *, origin: str) -> Layer:
    """Return the layer of `[tool.backstory]` in a pyproject.toml's `text` (None: there is none).

    A key only the user may set is ignored with one warning, as is a file that is not TOML. Raises UserError for an unknown key or a bad value.
    """
    if text is None:
        return Layer(origin, {})
    try:
        table = tomllib.loads(text.decode("utf-8")).get("tool", {}).get("backstory", {})
    except (ValueError, AttributeError):
        return Layer(origin, {}, (f"{origin} is not valid TOML; what it says is ignored",))
    if not isinstance(table, dict):
        raise UserError(f"[tool.backstory] in {origin} must be a table")
    known = keys()
    _refuse_unknown(table, [name for name, key in known.items() if key.project], also=set(known), where=f"[tool.backstory] of {origin}")
    foreign = sorted(name for name in table if not known[name].project)
    warnings = (
        (f"{origin} may not set {', '.join(foreign)}; ignored (a project sets only check, exclude and languages)",) if foreign else ()
    )
    allowed = {name: value for name, value in table.items() if known[name].project}
    return Layer(origin, {name: _read(known[name], value, f"{name} in {origin}") for name, value in allowed.items()}, warnings)


def from_user_file(path: Path) -> Layer:
    """Return the layer of the user's file, empty if there is none. Raises UserError if it cannot be read or says something wrong."""
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return Layer(str(path), {})
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}; make it readable or remove it") from error
    except ValueError as error:
        raise UserError(f"{str(path)!r} is not valid TOML: {str(error).splitlines()[0]}; mend or remove it") from error
    known = keys()
    _refuse_unknown(table, list(known), also=set(), where=repr(str(path)))
    return Layer(str(path), {name: _read(known[name], value, f"{name} in {str(path)!r}") for name, value in table.items()})


def load(*, flags: Mapping[str, Value], environ: Mapping[str, str], folders: Folders, project: Layer | None = None) -> Config:
    """Return the configuration from every layer, highest first."""
    layers = [from_flags(flags), from_environment(environ), *([project] if project else []), from_user_file(folders.config / USER_FILE)]
    return compose(layers)


def folders(environ: Mapping[str, str]) -> Folders:
    """Return the three folders, each overridable; none is made here. Raises UserError if an override is not an absolute path."""
    from platformdirs import user_cache_path, user_config_path, user_state_path

    def place(variable: str, default: Callable[[str], Path]) -> Path:
        named = environ.get(variable, "")
        if named and not Path(named).is_absolute():
            raise UserError(f"{variable} is {named!r}; give an absolute path")
        return Path(named) if named else default("backstory")

    cache, state, config = FOLDER_VARIABLES
    return Folders(place(cache, user_cache_path), place(state, user_state_path), place(config, user_config_path))


def keep_litellm_quiet(environ: MutableMapping[str, str]) -> None:
    """Set in the environment of this process what litellm reads when it is imported, so that it fetches nothing, reads no `.env` and reaches a
    server on this machine directly.

    It would fetch a map of prices, of headers and its own news; load the `.env` of the current folder, which may be the repository's; and send
    even requests to this machine through a proxy that the environment names.
    """
    environ.update(_LITELLM_VARIABLES)
    for variable in ("NO_PROXY", "no_proxy"):
        exempt = [host for host in environ.get(variable, "").split(",") if host]
        environ[variable] = ",".join([*exempt, *(host for host in _LOOPBACK_HOSTS if host not in exempt)])


def quiet_litellm() -> None:
    """Set in this process what keeps litellm quiet, before it is imported: it reads the environment of the process by itself."""
    keep_litellm_quiet(os.environ)


def made(folder: Path) -> Path:
    """Return `folder`, made if need be, closed to others. Raises StorageError with the variable that moves it elsewhere."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"cannot make {str(folder)!r}: {error.strerror}; set BACKSTORY_CACHE_DIR and BACKSTORY_STATE_DIR elsewhere"
        ) from error
    return folder


def _read(key: Key, value: object, where: str) -> Value:
    try:
        return key.read(value)
    except ValueError as error:
        raise UserError(f"{where}: {error}, got {value!r}") from error


def _refuse_unknown(table: Mapping[str, object], choices: Sequence[str], *, also: set[str], where: str) -> None:
    for name in table:
        if name not in choices and name not in also:
            raise UserError(f"unknown key {name!r} in {where}{_nearest(name, choices)}")


def _nearest(name: str, choices: Sequence[str]) -> str:
    """Return the hint that ends an "unknown" message: the nearest name, or all of them when nothing is near."""
    close = get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(choices))}"
