from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.hub import local_path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"hf://datasets/owner/name@{COMMIT}/data/test.parquet"
OWN_COPY = "; or pass your own copy with --data FILE (in inspect, -T data=FILE)"


def hub_error(kind: type[errors.HfHubHTTPError], text: str = "said no") -> Exception:
    """An error as the hub's client raises it, without the answer of a server."""
    return kind(text, response=SimpleNamespace(headers={}, request=None))  # ty: ignore[invalid-argument-type]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    """A hub whose every answer is the given error, and a cache that holds nothing."""

    def answering(error: Exception) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked to download"))

    return answering


class NoConnectionError(Exception):
    """Stands for what httpx raises."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            NoConnectionError("[Errno -2] Name or service not known\nmore"),
            "cannot download data/test.parquet of the data set owner/name, the hub cannot be reached "
            "(NoConnectionError: [Errno -2] Name or service not known): go online",
        ),
        (
            hub_error(errors.GatedRepoError),
            "cannot download data/test.parquet of the data set owner/name, which is gated: accept its licence at "
            "https://huggingface.co/datasets/owner/name and set HF_TOKEN",
        ),
        (
            hub_error(errors.RepositoryNotFoundError),
            "the hub knows no data set owner/name, or a private one: check the name, or set HF_TOKEN",
        ),
        (
            hub_error(errors.RevisionNotFoundError),
            f"the data set owner/name has no revision {COMMIT}: see https://huggingface.co/datasets/owner/name",
        ),
        (
            hub_error(errors.RemoteEntryNotFoundError),
            f"the data set owner/name has no file data/test.parquet at {COMMIT}: "
            "see https://huggingface.co/datasets/owner/name",
        ),
        (
            hub_error(errors.HfHubHTTPError, "429 Too Many Requests\nRequest ID: 1"),
            "cannot download data/test.parquet of the data set owner/name: the hub answers 429 Too Many Requests: "
            "try again later",
        ),
        (
            errors.OfflineModeIsEnabled("offline"),
            "cannot download data/test.parquet of the data set owner/name: the hub is not reached, or HF_HUB_OFFLINE "
            "is set: go online",
        ),
        (
            PermissionError(13, "Permission denied", "/cache"),
            "cannot store data/test.parquet of the data set owner/name: [Errno 13] Permission denied: '/cache': "
            "make room, or set HF_HOME to another folder",
        ),
    ],
)
def test_what_the_hub_says_is_one_line_with_a_way_out(hub, error: Exception, told: str) -> None:
    hub(error)
    with pytest.raises(RecordError) as raised:
        local_path(ADDRESS)
    assert str(raised.value) == told + OWN_COPY


def test_a_hub_that_is_not_there_is_given_up_before_any_download(hub) -> None:
    """A download tries six times over 23 s where no network is; the question before it fails at once.

    The fixture's `hf_hub_download` fails the test if it is ever reached.
    """
    hub(NoConnectionError("down"))
    with pytest.raises(RecordError):
        local_path(ADDRESS)


def test_a_pinned_file_in_the_cache_asks_nobody(hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub(NoConnectionError("asked the hub"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(tmp_path / "test.parquet"))
    assert local_path(ADDRESS) == tmp_path / "test.parquet"
    with pytest.raises(RecordError, match="asked the hub"):
        local_path(ADDRESS.replace(COMMIT, "main"))


def test_the_file_asked_for_is_the_one_downloaded(hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def download(*names: str, **options: str) -> str:
        asked.extend([*names, options])
        return str(tmp_path)

    hub(NoConnectionError("down"))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert local_path(ADDRESS) == tmp_path
    assert asked == ["owner/name", "data/test.parquet", {"repo_type": "dataset", "revision": COMMIT}]


def test_any_other_source_is_a_path() -> None:
    assert local_path("some/file.jsonl") == Path("some/file.jsonl")
    assert local_path("~/file.jsonl") == Path.home() / "file.jsonl"


@pytest.mark.parametrize("address", ["hf://datasets/owner/name/test.jsonl", "hf://owner/name@main/test.jsonl", "hf://"])
def test_an_address_of_another_form(address: str) -> None:
    with pytest.raises(OptionError) as told:
        local_path(address)
    assert str(told.value) == f"expected hf://datasets/OWNER/NAME@REVISION/FILE, got {address}"
