"""How containers are used, from the configuration and the environment: which engine, and what a container may take."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backstory.config import Config
    from backstory.tools.sandbox import Containers


def containers_of(config: "Config", environ: Mapping[str, str]) -> "Containers":
    """Return how containers are used by a configuration."""
    from backstory.tools.sandbox import Containers

    execution = config.execution
    return Containers(
        engine=engine_address(environ),
        image=execution.image or "",
        platform=execution.image_platform or "",
        pull=execution.pull,
        cpus=execution.cpus,
        free_gib=execution.free_gib,
    )


def engine_address(environ: Mapping[str, str]) -> str:
    """Return where the user's engine listens, "" where nothing says so: DOCKER_HOST, the context that `docker context use` chose, a rootless engine."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/nonexistent"), ".docker"))
    named = environ.get("DOCKER_CONTEXT") or str(_read(folder / "config.json").get("currentContext", ""))
    if named and named != "default":
        place = folder / "contexts" / "meta" / hashlib.sha256(named.encode()).hexdigest() / "meta.json"
        endpoints = _read(place).get("Endpoints")
        engine = endpoints.get("docker") if isinstance(endpoints, dict) else None
        if isinstance(engine, dict) and engine.get("Host"):
            return str(engine["Host"])
    rootless = Path(environ.get("XDG_RUNTIME_DIR") or "/nonexistent", "docker.sock")
    return f"unix://{rootless}" if rootless.is_socket() and not Path("/var/run/docker.sock").is_socket() else ""


def _read(file: Path) -> Mapping[str, object]:
    """Return a JSON object, an empty one where there is none that can be read."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
