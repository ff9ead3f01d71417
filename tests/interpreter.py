"""What a sandbox is shown so that this interpreter, which may live anywhere, runs inside it."""

import sys
import sysconfig
from pathlib import Path

from backstory.tools.shell import Mount

PATH = "/usr/local/bin:/usr/bin:/bin"
INTERPRETER = tuple(
    Mount(path, path)
    for path in {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(sysconfig.get_path("stdlib")).resolve()}
    if path != Path("/usr")
)
