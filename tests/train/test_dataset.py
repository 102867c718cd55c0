"""A folder of pairs is what `datasets` and TRL read, the same bytes each time; its card tells every count."""

import re

import pytest
from train.test_pairs import ANSWERS, ends

from thinklogit.core.errors import OutputError, RecordError
from thinklogit.train import dataset
from thinklogit.train.choice import Choice
from thinklogit.train.pairs import build


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    return tmp_path


def write(folder, **choice):
    made = build(ANSWERS, Choice(**choice), ends)
    dataset.write(made.pairs, dataset.card(made.pairs, made.counts, {"trio": "mini"}, ["p7"]), folder)


def test_datasets_reads_the_folder(folder, tmp_path_factory):
    from datasets import load_dataset

    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path_factory.mktemp("cache")))
    assert {"prompt", "chosen", "rejected", "kind", "problem_id", "chosen_tokens"} <= set(rows.column_names)
    assert sorted(rows["kind"]) == ["guider_over_target", "target_over_guider"]


def test_files_beside_the_data_are_not_read_as_pairs(folder, tmp_path_factory):
    """`samples/` lies in the same folder; without the card's own list of files `datasets` would take it for data."""
    from datasets import load_dataset

    (folder / "samples").mkdir()
    (folder / "samples" / "target.jsonl").write_text('{"text": "no pair"}\n')
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path_factory.mktemp("cache")))
    assert len(rows) == 2


def test_the_same_pairs_are_the_same_bytes(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write(other)
    for name in (dataset.DATA, dataset.CARD):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_card_tells_every_count(folder):
    card = (folder / "README.md").read_text()
    assert "2 pairs of 1 problems" in card
    assert re.search(r"\| target_over_guider \|.*\| 1 \| 4\.0, 7\.0 \|", card)
    assert re.search(r"\| guider \| 1 \| 1 \| 0 \|.*\| 2 \|", card)
    assert "near copies of held-out problems: 1 (p7)" in card
    assert '"trio": "mini"' in card


def test_what_is_read_is_what_was_written(folder):
    rows = dataset.read(folder)
    assert {row["chosen"] for row in rows} == {"so it is 4", "so let me think it is 4"}
    assert not any(row["chosen_cut"] or row["rejected_cut"] for row in rows)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.unlink(), "expected pairs in data/train.parquet, found none; make them with `thinklogit"),
        (lambda file: file.write_bytes(b"PAR1"), "cannot be read"),
    ],
)
def test_a_folder_without_pairs_is_told(folder, spoil, told):
    spoil(folder / dataset.DATA)
    with pytest.raises(RecordError, match=told):
        dataset.read(folder)


def test_pairs_of_another_shape_are_told(folder):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"chosen": ["a"]}), folder / dataset.DATA)
    with pytest.raises(RecordError, match="expected pairs with prompt, rejected"):
        dataset.read(folder)


def test_to_make_room_is_advised_only_where_the_disk_is_full(tmp_path):
    """Where a folder stood in the place of the parquet file, "Is a directory; ... make room" was told. What is in the
    way is to be mended, or another place used."""
    (tmp_path / dataset.DATA).mkdir(parents=True)
    with pytest.raises(OutputError, match=r"Is a directory.*; use another -o, or mend what is there"):
        dataset.write([], "", tmp_path)


def test_a_full_disk_leaves_the_pairs_that_were_there(folder, monkeypatch):
    before = (folder / dataset.DATA).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(OutputError, match="No space left on device; the answers and grades are kept; make room"):
        write(folder, cut_tokens=(2,))
    assert (folder / dataset.DATA).read_bytes() == before
