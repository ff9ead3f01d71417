"""What an image brings for the tests of a project: an interpreter, variables, and what an install left among the project's files.

An image that was made for a project has a copy of it in the folder where it begins, often installed editable. A work tree is shown over that copy, so
what the install left there, and no commit has (egg-info, compiled modules, a generated version), is taken out of the image once, kept, and laid over
every tree, as it is for an environment built here.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backstory.errors import SandboxError, StorageError
from backstory.graph.lock import exclusively
from backstory.graph.types import RepoPath
from backstory.tools.docker import Docker
from backstory.tools.environment import FIXED, OUTPUT_FILES, OUTPUT_FOLDERS, OUTPUTS_MOUNTED, Environment
from backstory.tools.limits import Limits
from backstory.tools.sandbox import SYSTEM_PATH
from backstory.tools.shell import SHELL, Command, Mount

_LOOK_LIMITS = Limits(wall_s=120)
# Where images of SWE-bench keep the project's interpreter; nothing of theirs has it on the path.
_CONDA = "/opt/miniconda3/envs/testbed/bin"
_KEPT = "image.json"
_LOOK = r"""
for folder in %(conda)s; do [ -x "$folder/python" ] && echo "$folder/python" && break; done || command -v python3 || command -v python || echo
cd %(root)s 2>/dev/null || exit 0
find . \( -name .git -o -name node_modules \) -prune -o \( %(wanted)s \) -print 2>/dev/null
"""


@dataclass(frozen=True)
class ImageEnvironment:
    """An environment that an image brings. root: where it has the project, None when it says nothing; outputs: laid over a tree shown there."""

    environment: Environment
    root: Path | None
    outputs: tuple[Mount, ...]


def image_environment(sandbox: Docker, *, cache_dir: Path) -> ImageEnvironment:
    """Return what the image of a sandbox brings, looked at once and kept below `cache_dir`. Raises SandboxError when it cannot be looked at."""
    image = sandbox.image
    root = Path(image.folder) if PurePosixPath(image.folder) != PurePosixPath("/") else None
    folder = cache_dir / "images" / image.id.removeprefix("sha256:")[:24]
    with exclusively(cache_dir / "images.lock"):
        if not (folder / _KEPT).is_file():
            _look(sandbox, root, folder)
    try:
        kept = json.loads((folder / _KEPT).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"what was kept of the image {image.name!r} at {str(folder)!r} cannot be read ({error}); delete it") from error
    python = Path(kept["python"]) if kept["python"] else None
    path = image.env.get("PATH", SYSTEM_PATH)
    env = {**image.env, **FIXED, "PATH": f"{python.parent}:{path}" if python and str(python.parent) not in path.split(":") else path}
    said = "\0".join([image.id, *(f"{name}={value}" for name, value in sorted(env.items()))])
    environment = Environment(hashlib.sha256(said.encode()).hexdigest()[:32], f"image {image.name}", python, (), env)
    outputs = tuple(Mount(folder / "outputs" / path, root / path) for path in kept["outputs"]) if root is not None else ()
    return ImageEnvironment(environment, root, outputs)


def not_tracked(outputs: Sequence[Mount], root: Path, files: Collection[RepoPath]) -> tuple[Mount, ...]:
    """Return the outputs, of a tree shown at `root`, that a commit with these files has not itself."""
    tracked = {str(folder) for file in files for folder in (PurePosixPath(file), *PurePosixPath(file).parents)}
    return tuple(mount for mount in outputs if str(mount.target.relative_to(root)) not in tracked)


def _look(sandbox: Docker, root: Path | None, folder: Path) -> None:
    wanted = [f"-type d -name '*{end}' -prune" for end in OUTPUT_FOLDERS] + [f"-type f -name '*{end}'" for end in OUTPUT_FILES]
    script = _LOOK % {"conda": _CONDA, "root": root or "/nowhere", "wanted": " -o ".join(wanted)}
    done = sandbox.run(Command((SHELL, "-c", script), Path("/"), {"PATH": SYSTEM_PATH, **sandbox.image.env}), _LOOK_LIMITS)
    if done.exit_code != 0:
        raise SandboxError(f"the image {sandbox.image.name!r} cannot be looked at: {done.output.decode('utf-8', 'replace').strip()[-200:]}")
    python, *found = done.output.decode("utf-8", "surrogateescape").splitlines() or [""]
    outputs = sorted(path.removeprefix("./") for path in found)[:OUTPUTS_MOUNTED]
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (folder / "outputs").mkdir(parents=True)
        for path, content in zip(outputs, sandbox.engine.copied(sandbox.image, [f"{root}/{path}" for path in outputs]), strict=True):
            place = (folder / "outputs" / path).parent
            place.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.extractall(place, filter="data")
        (folder / _KEPT).write_text(json.dumps({"image": sandbox.image.name, "python": python, "outputs": outputs}))
    except (OSError, tarfile.TarError) as error:
        raise StorageError(
            f"cannot keep what the image {sandbox.image.name!r} brings: {error}; free some room or set BACKSTORY_CACHE_DIR"
        ) from error
