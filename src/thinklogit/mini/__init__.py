"""The embedded mini trio: a small world, the text written about it, and three tiny members trained on that text.

`world` knows problems and how to grade them, `corpus` writes about them, `training` makes the members: three short
files to copy for a world of your own.
"""

from thinklogit.mini.world import backtracks, checks, grade, parse, problems

__all__ = ["backtracks", "checks", "grade", "parse", "problems"]
