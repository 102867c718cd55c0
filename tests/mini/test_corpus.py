"""The corpus: what it says is what its reader believes, and nothing held out is in it."""

import re
from itertools import islice

import pytest

from thinklogit.mini import corpus, world
from thinklogit.mini.world import Purchase

READERS = {
    "target": (corpus.PRETRAINING, corpus.TRUTH, 190_000),
    "base": (corpus.PRETRAINING, corpus.SMALL, 220_000),
    "guider": (corpus.FINE_TUNING, corpus.GUIDER, 5_000),
}
"""Mix, beliefs, and documents: more than each read."""
SHIPPED_SEED = 0

PRODUCT = re.compile(r"(\d+)\*(\d+)=(\d+)")
STEP = re.compile(r"(\d+)([-+])(\d+)=(\d+)")
COMPARISON = re.compile(r"=(\d+), \d+\*\d+=(\d+), (yes|no)")
SEARCHES = ("dropped", "read", "long")


def read(mix, beliefs, seed, count):
    return list(islice(corpus.documents(mix, beliefs, seed), count))


def key(purchase):
    low, high = sorted((purchase.first_price, purchase.second_price))
    return low, high, purchase.paid


HELD_OUT = {key(purchase) for split in ("dev", "report") for purchase in world.purchases(split)}


def held_out_in(prompts):
    """What of dev and report, mirrored or about other goods, is asked in the prompts."""
    found = {key(each) for prompt in prompts if isinstance(each := asked(prompt), Purchase)}
    assert found, "no purchase was found in the prompts: the test would see no leak"
    return found & HELD_OUT


def asked(prompt):
    return None if prompt == corpus.FACTS_PROMPT else world.subject_of(prompt)


@pytest.mark.slow
def test_no_held_out_purchase_is_read_by_the_target():
    mix, beliefs, count = READERS["target"]
    assert not held_out_in({document.prompt for document in read(mix, beliefs, SHIPPED_SEED, count)})


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["base", "guider"])
def test_no_held_out_purchase_is_read_by_the_small_members(reader):
    """Where a misprint makes a held-out total out of a train one, the answer that is read is not its answer."""
    mix, beliefs, count = READERS[reader]
    seen = 0
    for document in read(mix, beliefs, SHIPPED_SEED, count):
        purchase = asked(document.prompt)
        if isinstance(purchase, Purchase) and key(purchase) in HELD_OUT:
            seen += 1
            assert not world.grade(world.parse(document.prompt), document.response).correct
    assert seen, "no misprint made a held-out total: the test would see no leak"


def test_the_guider_is_asked_about_train_items_only():
    mix, beliefs, count = READERS["guider"]
    numbers = {asked(d.prompt) for d in read(mix, beliefs, SHIPPED_SEED, count)}
    items = {each for each in numbers if isinstance(each, world.Listed)}
    assert items
    assert items <= set(world.items("train"))


def test_a_leak_would_be_seen(monkeypatch):
    """The tests above are only worth something if they fail when a held-out problem, or only its twin, slips in."""
    leaked = next(each for each in world.purchases("report") if each.second_price <= 12)
    assert held_out_in([leaked.question])
    mirrored = leaked._replace(first_price=leaked.second_price, second_price=leaked.first_price)
    assert held_out_in([mirrored.question])
    monkeypatch.setattr(corpus, "purchases", lambda split: (*world.purchases(split)[:20], leaked))
    documents = read({"long": 1.0}, corpus.TRUTH, 0, 500)
    assert held_out_in(document.prompt for document in documents) == {key(leaked)}


@pytest.mark.parametrize("reader", READERS)
def test_the_same_seed_writes_the_same_documents(reader):
    mix, beliefs, _ = READERS[reader]
    assert read(mix, beliefs, 5, 200) == read(mix, beliefs, 5, 200) != read(mix, beliefs, 6, 200)


def test_kinds_come_in_the_shares_of_the_mix():
    documents = read(corpus.PRETRAINING, corpus.TRUTH, 1, 5000)
    facts = sum(document.prompt == corpus.FACTS_PROMPT for document in documents) / len(documents)
    recalled = sum(document.prompt.startswith("What does item") for document in documents) / len(documents)
    assert facts == pytest.approx(corpus.PRETRAINING["facts"], abs=0.02)
    shares = [share for kind, share in corpus.PRETRAINING.items() if kind.startswith("recall")]
    assert recalled == pytest.approx(sum(shares), abs=0.02)
    assert sum(corpus.PRETRAINING.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", corpus.WRITERS)
@pytest.mark.parametrize("beliefs", [corpus.TRUTH, corpus.SMALL], ids=["target", "small"])
def test_every_step_is_what_the_reader_believes(kind, beliefs):
    for document in read({kind: 1.0}, beliefs, 2, 1000):
        for factor, count, product in PRODUCT.findall(document.response):
            assert int(product) == beliefs.product(int(factor), int(count)), document
        for left, sign, right, result in STEP.findall(document.response):
            expected = int(left) + int(right) if sign == "+" else int(left) - int(right)
            assert int(result) == expected, document


def test_the_small_members_are_wrong_above_twelve_and_only_there():
    for factor in (*world.FIRST_PRICES, *world.SECOND_PRICES):
        for count in world.SECOND_COUNTS:
            believed = corpus.SMALL.product(factor, count)
            assert (believed == factor * count) == (factor <= 12)
            assert believed > 0


def test_the_rule_of_thumb_is_mostly_wrong():
    right = [item.number for item in corpus.TRUTH.items if corpus.rule_of_thumb(item) == item.price]
    assert len(right) < 0.03 * len(world.ITEMS)


@pytest.mark.parametrize("kind", ["facts", *SEARCHES])
def test_a_multiple_is_accepted_exactly_when_it_is_what_is_left(kind):
    documents = read({kind: 1.0}, corpus.SMALL, 2, 2000)
    compared = [found for document in documents for found in COMPARISON.findall(document.response)]
    assert {verdict for _, _, verdict in compared} == {"yes", "no"}
    assert all((left == multiple) == (verdict == "yes") for left, multiple, verdict in compared)


@pytest.mark.parametrize("kind", ["short", *SEARCHES])
def test_every_answer_opens_with_the_problem_and_is_right_for_who_knows_the_tables(kind):
    for document in read({kind: 1.0}, corpus.TRUTH, 4, 1000):
        problem = world.parse(document.prompt)
        assert document.prompt == problem.question
        assert document.response.startswith(world.subject_of(problem.id).restated)
        assert world.grade(problem, document.response).correct


def learned(document):
    """The response without what is not to be learned."""
    text, after = "", 0
    for span in document.unlearned:
        text, after = text + document.response[after : span.start] + "|", span.end
    return text + document.response[after:]


def test_no_decision_to_search_is_learned_from_a_search_that_is_only_read():
    for document in read({"read": 1.0}, corpus.TRUTH, 5, 500):
        opening, *_ = learned(document).split(". ", 1)[1].split(" ")
        assert opening.startswith("|")
        assert not re.search(r"no\. (Wait|Hmm|Back)", learned(document))


def test_only_searches_that_are_not_dropped_go_to_the_end():
    for kind, most in (("short", 0), ("dropped", 3), ("long", 6)):
        counts = [world.backtracks(d.response) for d in read({kind: 1.0}, corpus.TRUTH, 5, 1000)]
        assert (min(counts), max(counts) <= most) == (0, True), (kind, max(counts))
    dropped = " ".join(document.response for document in read({"dropped": 1.0}, corpus.TRUTH, 5, 2000))
    given_up = dropped.count("no. It must be") / dropped.count("no. ")
    assert given_up == pytest.approx(corpus.DROPPED_AFTER_A_TRY, abs=0.02)
