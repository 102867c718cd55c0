"""What a program under test may use."""

from dataclasses import dataclass, fields

from thinklogit.core.errors import OptionError


@dataclass(frozen=True)
class Limits:
    """What a program under test may use.

    Attributes:
        time_per_test_s: Wall time of one test; LiveCodeBench's own.
        time_s: Wall time of all tests together; None: LiveCodeBench's, (time_per_test_s + 1) a test and 5 more.
        memory_bytes: Memory of all its processes together, and address space of each.
        processes: Processes and threads at a time.
        output_bytes: Standard output of one test, or the value that its function returns.
        disk_bytes: What it may write to /tmp, its only writable place.
    """

    time_per_test_s: float = 6.0
    time_s: float | None = None
    memory_bytes: int = 2 << 30
    processes: int = 32
    output_bytes: int = 10_000_000
    disk_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not value > 0:
                raise OptionError(f"{one.name}: expected a limit above 0, got {value}")

    def whole_time_s(self, tests: int) -> float:
        """Wall time of this many tests together.

        https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/evaluation/compute_code_generation_metrics.py#L43
        """
        return (self.time_per_test_s + 1) * tests + 5 if self.time_s is None else self.time_s
