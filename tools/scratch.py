"""What running a project's tools leaves behind: names that are never part of a patch, whoever made them.

Only new files are judged by these lists; a file the repository tracks is always part of it. What the repository's own ignore files name is left
out as well, and asked of git.
"""

from fnmatch import fnmatchcase

# Caches and build outputs of the tools of the languages we read (GitHub's gitignore templates for Python and Node, without editors' files).
_FOLDERS = frozenset(
    {
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".tox",
        ".nox",
        ".eggs",
        ".venv",
        ".cache",
        ".benchmarks",
        ".ipynb_checkpoints",
        ".nyc_output",
        "htmlcov",
        "node_modules",
    }
)
_FOLDER_PATTERNS = ("*.egg-info", "*.dist-info", "pip-wheel-metadata")
_TOP_FOLDERS = frozenset({"build", "dist", "target", "coverage"})  # build outputs at the top; further down they may be packages
_FILE_PATTERNS = (
    "*.py[cod]",
    "*$py.class",
    "*.so",
    "*.o",
    "*.a",
    "*.class",
    ".coverage",
    ".coverage.*",
    "coverage.xml",
    "*.orig",
    "*.rej",
    "*~",
    "*.sw[op]",
    "*.tmp",
    ".DS_Store",
    "nohup.out",
    "core.[0-9]*",
)

# Files that tell git what to do. When a program, not an edit, made or changed one, it is tampering and stays out of the patch.
CONTROL_FILES = frozenset({".gitattributes", ".gitmodules", ".gitconfig", ".lfsconfig"})


def is_scratch_folder(name: str, *, top: bool) -> bool:
    """Return whether a new folder of this name is left out with all it holds. top: it lies at the repository's root."""
    return name in _FOLDERS or (top and name in _TOP_FOLDERS) or any(fnmatchcase(name, pattern) for pattern in _FOLDER_PATTERNS)


def is_scratch_file(name: str) -> bool:
    """Return whether a new file of this name is left out.

    >>> [is_scratch_file(name) for name in ("a.pyc", ".coverage", "a.py", "core.py")]
    [True, True, False, False]
    """
    return any(fnmatchcase(name, pattern) for pattern in _FILE_PATTERNS)
