"""The solver of every task: asks once, with a seed of its own for each completion of each problem."""

from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.solver import Generate, Solver, TaskState, solver

from thinklogit.core.seeds import derive_seed


@solver
def ask() -> Solver:
    """Send the problem as it stands.

    inspect hands `--seed` unchanged to every epoch, which on an engine that honours seeds makes avg@n the mean of n
    copies of one answer. Here it is mixed with the problem's id and the completion's index.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        run_seed = active_generate_config().seed or 0
        return await generate(state, seed=derive_seed(run_seed, str(state.sample_id), state.epoch - 1))

    return solve
