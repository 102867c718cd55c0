"""Where the tests of a program stand, so that logs and queues carry a place and a digest and not the tests.

The tests of one LiveCodeBench problem can take hundreds of megabytes, and inspect writes a sample's metadata and target
into the log of every run. So the target is a place (file, position, digest), and the worker that grades reads the
tests there. A log is graded again in the same way, with the digest to prove that the tests are those of the run.
"""

import json
from hashlib import sha256
from typing import Any

from thinklogit.core.errors import RecordError
from thinklogit.evals.grading.code_tests import CodeTests, livecodebench_tests, parse_tests
from thinklogit.evals.grading.verdicts import Verdict
from thinklogit.evals.hub import local_path
from thinklogit.evals.rows import Row, row_at

LIVECODEBENCH = ("public_test_cases", "private_test_cases")
"""Their function's name, if they have one, stands in the field `metadata`."""
PLAIN = "tests"


def place_of(row: Row, source: str) -> str:
    """Where this row's tests stand, as the text of a target."""
    return json.dumps({"source": source, "place": row.place, "digest": digest_of(row)})


def digest_of(row: Row) -> str:
    """Tells these tests from others, without decoding them. Raises RecordError for a row that has none."""
    names = LIVECODEBENCH if all(name in row.fields for name in LIVECODEBENCH) else (PLAIN,)
    if not all(row.fields.get(name) for name in names):
        raise RecordError(
            f"{row.where}: expected tests in {' and '.join(LIVECODEBENCH)}, or in {PLAIN}; "
            f"this row has {', '.join(row.fields)}"
        )
    kept = [row.fields.get(name) for name in (*names, "metadata")]
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def hidden_tests_at(target: str, data: str | None = None) -> CodeTests:
    """The tests that a target tells the place of, in the file `data` if the run's own has moved.

    Raises:
        OptionError: no such file.
        RecordError: other tests than those of the run, or tests that cannot be read.
    """
    place = json.loads(target)
    source = data or place["source"]
    fields = row_at(local_path(source), place["place"])
    where = f"{source}, place {place['place']}"
    if digest_of(Row(fields, where, 0, place["place"])) != place["digest"]:
        raise RecordError(f"{where}: expected the tests of the run, found others; give the file it was made from")
    return livecodebench_tests(fields) if LIVECODEBENCH[0] in fields else parse_tests(fields[PLAIN])


def grade_by_hidden_tests(completion: str, reference: str, *, data: str | None = None, **options: Any) -> Verdict:
    """The grader of a code benchmark: `grade_code` by the tests that the reference, a target, tells the place of."""
    from thinklogit.evals.grading.code import grade_code

    return grade_code(completion, hidden_tests_at(reference, data), **options)
