"""Settings files of a repository, read leniently: what cannot be parsed is empty, since it only ever suggests."""

import configparser
import tomllib
from collections.abc import Mapping


def toml_table(content: bytes | None, *keys: str) -> Mapping[str, object]:
    """Return the table at `keys`, or an empty one."""
    try:
        value: object = tomllib.loads(text_of(content))
    except tomllib.TOMLDecodeError:
        return {}
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def ini(content: bytes | None) -> configparser.ConfigParser:
    """Return the sections of an INI file, values as they are written."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text_of(content))
    except configparser.Error:
        return configparser.ConfigParser()
    return parser


def text_of(content: bytes | None) -> str:
    """Return the text of a file, empty when there is none."""
    return (content or b"").decode("utf-8", "replace").removeprefix("\ufeff")
