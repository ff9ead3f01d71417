"""Which file, or which space of shared names, an import names.

How modules are named differs from language to language; each way is a rule of its own (`dotted`, `script_paths`, `included`, `homes`), and this is
where a language's rule is chosen. A module that is not among the files is external and has no target.
"""

from collections.abc import Iterator, Mapping, Sequence

from backstory.graph.dotted import DottedModules
from backstory.graph.homes import Homes, Named, homes_rules
from backstory.graph.included import IncludedFiles
from backstory.graph.languages import Language
from backstory.graph.manifests import Manifest
from backstory.graph.parse import Parse
from backstory.graph.script_paths import ScriptPaths
from backstory.graph.types import RepoPath


class Modules:
    """The modules of one tree of files."""

    def __init__(self, files: Mapping[RepoPath, Parse], manifests: Sequence[Manifest] = ()) -> None:
        self._dotted = DottedModules(files)
        self._paths = ScriptPaths(files, [said for said in manifests if said.kind == "script"])
        self._included = IncludedFiles(files, (".rb",))
        self._homes = homes_rules(files, manifests)
        self._language = {path: parse.language for path, parse in files.items()}

    def targets(self, language: Language, importer: RepoPath, module: str, level: int = 0) -> tuple[RepoPath, ...]:
        """Return the files an import of `module` in `importer` may mean: none when it is external, several when that cannot be told."""
        match language.modules:
            case "dotted":
                return self._dotted.targets(importer, module, level)
            case "paths":
                return self._paths.targets(importer, module)
            case "includes" | "constants":
                return self._included.targets(importer, module)
            case "packages" if "/" in module or module.endswith((".php", ".inc")):
                return self._included.targets(importer, module)
        return ()

    def submodule(self, package: RepoPath, name: str) -> tuple[RepoPath, ...]:
        """Return the module `name` inside the package whose `__init__` file is `package`."""
        return self._dotted.submodule(package, name)

    def homes(self, path: RepoPath) -> Homes:
        """Return the spaces of a file."""
        rule = self._homes.get(self._language[path])
        return Homes(()) if rule is None else rule.of(path)

    def spaces(self, language: Language, importer: RepoPath, module: str) -> Iterator[Named]:
        """Yield what `module` may mean in `importer`, likeliest first."""
        rule = self._homes.get(language.name)
        if rule is not None:
            yield from rule.named(importer, module)
