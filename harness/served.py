"""The model server that `backstory serve` began or adopted, written down so that other commands find it.

One server is known at a time. What is written counts only while the server answers, so a crash or a restart of the machine leaves nothing wrong behind.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from backstory.agent.vitals import healthy
from backstory.agent.written import from_json, save, to_json
from backstory.errors import UserError
from backstory.harness.selftest import Served
from backstory.tools.service import Service


@dataclass(frozen=True)
class Record:
    """A known server. service: its process, None when it was begun by somebody else; command: how; since: seconds since the epoch; missing: what it lacks."""

    served: Served
    since: float
    service: Service | None = None
    command: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """What clients call the model."""
        return self.served.models[0]

    def answers(self) -> bool:
        """Return whether it is ready now."""
        return (self.service is None or self.service.runs()) and healthy(self.served.api_base)


def write_record(path: Path, record: Record) -> None:
    """Write down the server that is known from now on. Raises StorageError."""
    save(path, json.dumps(to_json(record), indent=1).encode() + b"\n", again="start it again")


def read_record(path: Path) -> Record | None:
    """Return the known server, answering or not; None when there is none, or what is written is none."""
    try:
        return from_json(json.loads(path.read_bytes()), Record)
    except (OSError, ValueError):
        return None


def known_server(path: Path) -> Record:
    """Return the known server. Raises UserError when there is none."""
    record = read_record(path)
    if record is None:
        raise UserError("no server is known; start one with `backstory serve`, or name one that runs with `backstory serve --endpoint URL`")
    return record
