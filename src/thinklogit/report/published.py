"""The results that the paper prints, to stand beside ours: arXiv 2507.12759, version 1, as they are there.

avg@8 / pass@8 in percent. MATH-hard has a single figure, over the 262 problems of levels 4 and 5 that version 1 used;
the averages of pass@8 are over the three other tasks.
"""

from typing import NamedTuple

SOURCE = "arXiv 2507.12759v1"
TASKS = ("aime24", "aime25", "amc23", "math_hard")


class Printed(NamedTuple):
    """One cell of the paper's table; pass@8 where it is given."""

    avg_at_8: float
    pass_at_8: float | None


class PublishedRow(NamedTuple):
    """One system of the paper's table."""

    system: str
    cells: dict[str, Printed]
    average: Printed


def _row(system: str, *printed: tuple[float, float | None]) -> PublishedRow:
    *cells, average = (Printed(*each) for each in printed)
    return PublishedRow(system, dict(zip(TASKS, cells, strict=True)), average)


# fmt: off
ROWS = (
    _row("Qwen2.5-32B, target", (14.6, 40.0), (8.3, 26.7), (57.2, 90.0), (50.8, None), (32.7, 52.2)),
    _row("s1.1-32B", (32.9, 60.0), (25.4, 50.0), (70.0, 92.5), (79.0, None), (51.8, 67.5)),
    _row("R1-Distill-Qwen-32B", (45.8, 76.7), (35.0, 60.0), (76.9, 92.5), (76.5, None), (58.6, 76.4)),
    _row("R1-Distill-Qwen-1.5B, SFT guider", (16.2, 33.3), (18.8, 33.3), (51.2, 80.0), (47.7, None), (33.5, 48.9)),
    _row("ThinkLogit", (22.5, 50.0), (19.2, 36.7), (62.2, 95.0), (60.7, None), (41.2, 60.6)),
    _row("ThinkLogit-DPO (10K pairs, 78M trained)",
         (22.1, 60.0), (21.7, 46.7), (63.7, 90.0), (61.1, None), (42.2, 65.6)),
    _row("One-Shot-RLVR-1.5B, RFT guider", (13.3, 30.0), (7.1, 26.7), (46.9, 77.5), (51.1, None), (29.6, 44.7)),
)
# fmt: on
