"""The checker that pytest wraps around every function of the package: shapes by jaxtyping, types by beartype."""

from beartype import BeartypeConf, beartype

# An int is a float, as in type checkers.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
