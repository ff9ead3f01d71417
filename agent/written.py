"""What a run keeps: frozen values to JSON and back, the same way for every event and every outcome, and files written whole.

Bytes are written as text: what is UTF-8 as it is, other bytes as lone surrogates, which JSON escapes, so that a diff stays readable in a trace
and still comes back byte for byte.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cattrs.errors import BaseValidationError
from cattrs.preconf.json import make_converter

from backstory.agent.trace import Json
from backstory.errors import StorageError

T = TypeVar("T")

_CONVERTER = make_converter()
_CONVERTER.register_unstructure_hook(bytes, lambda value: value.decode("utf-8", "surrogateescape"))
_CONVERTER.register_structure_hook(bytes, lambda value, _: value.encode("utf-8", "surrogateescape"))
_CONVERTER.register_unstructure_hook(Path, str)
_CONVERTER.register_structure_hook(Path, lambda value, _: Path(value))


def to_json(value: Any) -> Any:
    """Return a frozen dataclass (or a container of them) as plain JSON values."""
    return _CONVERTER.unstructure(value)


def from_json(written: Json, kind: type[T]) -> T:
    """Return the value that `to_json` wrote. Raises ValueError naming the field when it is not one."""
    structure: Callable[[Any, type[T]], T] = _CONVERTER.structure
    try:
        return structure(written, kind)
    except (BaseValidationError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"not a {kind.__name__}: {error!r}") from error


def save(path: Path, content: bytes, *, again: str) -> None:
    """Write a file whole or not at all. again: what to do once there is room. Raises StorageError."""
    beside = path.with_name(f"{path.name}.{threading.get_ident()}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise StorageError(f"cannot save {str(path)!r}: {error.strerror}; free some room and {again}") from error
