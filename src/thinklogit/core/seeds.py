"""A seed of its own for everything that is drawn. Knows no generator."""

import hashlib


def derive_seed(*parts: object) -> int:
    """A seed from what identifies a completion, such as (run seed, problem id, index); the same on any machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
