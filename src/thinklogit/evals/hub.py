"""Files of data sets on the hub: found in its cache, else downloaded, and never waited for where it cannot be reached.

    hf://datasets/OWNER/NAME@REVISION/FILE

The benchmarks name their files by commit, so that the same problems are asked next year; the commits were looked up in
public projects that pin them. Files are read as they are: data sets' own scripts are no longer run by `datasets`.
"""

import re
from pathlib import Path
from typing import NamedTuple

from thinklogit.core.errors import OptionError, RecordError

FORM = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)@([\w.-]+)/(.+)")
COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT_S = 10.0


class HubFile(NamedTuple):
    """One file of a data set, at one revision."""

    dataset: str
    revision: str
    name: str


def local_path(source: str) -> Path:
    """The file on this machine: the path itself, or what was downloaded from hf://.

    Raises:
        OptionError: an hf:// address of another form.
        RecordError: the hub has no such file, does not give it to us, or cannot be reached.
    """
    if not source.startswith("hf://"):
        return Path(source).expanduser()
    match = FORM.fullmatch(source)
    if match is None:
        raise OptionError(f"expected hf://datasets/OWNER/NAME@REVISION/FILE, got {source}")
    return _downloaded(HubFile(*match.groups()))


def _downloaded(file: HubFile) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(file.dataset, file.name, repo_type="dataset", revision=file.revision)
    if isinstance(cached, str) and COMMIT.fullmatch(file.revision):
        return Path(cached)
    try:
        # Asked first, because a download tries six times, over 23 s, before it gives up a hub that is not there.
        url = hf_hub_url(file.dataset, file.name, repo_type="dataset", revision=file.revision)
        get_hf_file_metadata(url, timeout=TIMEOUT_S)
        return Path(hf_hub_download(file.dataset, file.name, repo_type="dataset", revision=file.revision))
    except Exception as error:  # of httpx or its successor, which the releases of huggingface_hub do not share
        raise RecordError(
            f"{_reason(file, error)}; or pass your own copy with --data FILE (in inspect, -T data=FILE)"
        ) from None


def _reason(file: HubFile, error: Exception) -> str:
    from huggingface_hub import errors

    page = f"https://huggingface.co/datasets/{file.dataset}"
    whole = f"{file.name} of the data set {file.dataset}"
    match error:
        case errors.GatedRepoError():
            return f"cannot download {whole}, which is gated: accept its licence at {page} and set HF_TOKEN"
        case errors.RepositoryNotFoundError():
            return f"the hub knows no data set {file.dataset}, or a private one: check the name, or set HF_TOKEN"
        case errors.RevisionNotFoundError():
            return f"the data set {file.dataset} has no revision {file.revision}: see {page}"
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            return f"cannot download {whole}: the hub is not reached, or HF_HUB_OFFLINE is set: go online"
        case errors.EntryNotFoundError():
            return f"the data set {file.dataset} has no file {file.name} at {file.revision}: see {page}"
        case errors.HfHubHTTPError():
            return f"cannot download {whole}: the hub answers {_first_line(error)}: try again later"
        case OSError() if not isinstance(error, ConnectionError | TimeoutError):
            return f"cannot store {whole}: {_first_line(error)}: make room, or set HF_HOME to another folder"
        case _:
            told = f"{type(error).__name__}: {_first_line(error)}"
            return f"cannot download {whole}, the hub cannot be reached ({told}): go online"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
