"""Makes vLLM take Triton's interpreter for a CPU backend of Triton's, so that its V2 runner runs where there is no GPU.

Python imports a module of this name at the start of every process that has this folder on its path, vLLM's own too.
"""

from types import SimpleNamespace

from triton.backends import backends

backends["cpu"] = SimpleNamespace(driver=SimpleNamespace(is_active=lambda: True))
