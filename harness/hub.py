"""Data sets of the Hugging Face hub, in place of a file: `hub:OWNER/NAME`, or `hub:OWNER/NAME@REVISION` for one that never changes.

Fetched once by the hub's own client, which goes on where it was interrupted, sends the token of `HF_TOKEN` and asks `HF_ENDPOINT` where that is set;
without network what was fetched before serves.
"""

import re
from pathlib import Path

from backstory.errors import UserError

PREFIX = "hub:"
FOLDER = "datasets"  # below the cache

_NAMED = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_INSTANCES = ["*.jsonl", "*.json", "*.parquet"]
_ABOUT = ["dataset_info*.json", "*/dataset_info*.json", "dataset_dict.json", "*/state.json", ".*"]


def fetch_dataset(asked: Path, *, cache_dir: Path) -> Path:
    """Return the folder that holds the files of a data set of the hub. asked: begins with `hub:`.

    Raises UserError when the name has another form, or the data set cannot be had.
    """
    named = _NAMED.fullmatch(str(asked).removeprefix(PREFIX))
    if named is None:
        raise UserError(f"{str(asked)!r} names no data set of the hub; write hub:OWNER/NAME or hub:OWNER/NAME@REVISION")
    from huggingface_hub import snapshot_download  # slow to load, and only for who asks for it
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                named[1],
                repo_type="dataset",
                revision=named[2],
                cache_dir=cache_dir / FOLDER,
                allow_patterns=_INSTANCES,
                ignore_patterns=_ABOUT,
            )
        )
    except RepositoryNotFoundError as error:
        raise UserError(f"the hub has no data set {named[1]!r}, or shows it only to who has a token (HF_TOKEN)") from error
    except RevisionNotFoundError as error:
        raise UserError(f"the data set {named[1]!r} has no revision {named[2]!r}") from error
    except (OSError, ValueError) as error:
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"cannot fetch {str(asked)!r}: {why}; download its files and give their folder") from error
