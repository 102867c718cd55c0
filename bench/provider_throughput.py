"""How much 32 problems in flight gain over one at a time, asked of the model provider as inspect-ai asks it.

One at a time is the same provider with one request in flight, in the same round. Prints a table and writes
bench/results/provider_throughput.json.
"""

import asyncio
import json
import platform
import statistics
import time
from pathlib import Path

from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model

from thinklogit.core.records import Problem
from thinklogit.core.seeds import derive_seed
from thinklogit.mini import world

ROUNDS = 7
IN_FLIGHT = 32
PROBLEMS = 192
PROBLEMS_ALONE = 6
PLAIN = {"warmup_tokens": 0, "speculate": "off"}
"""While one alone warms up it runs the target only, and drafts gain it more; of 32 always one is guided."""
CONFIG = GenerateConfig(temperature=0.6, top_p=0.95, max_tokens=240, max_connections=IN_FLIGHT, extra_body=PLAIN)
RESULT = Path(__file__).parent / "results" / "provider_throughput.json"


async def tokens_per_s(api, problems: list[Problem], in_flight: int) -> float:
    room = asyncio.Semaphore(in_flight)

    async def ask(problem: Problem) -> int:
        async with room:
            config = CONFIG.merge(GenerateConfig(seed=derive_seed(0, problem.id)))
            output = await api.generate([ChatMessageUser(content=problem.question)], [], "none", config)
            return output.usage.output_tokens

    begun = time.perf_counter()
    new_tokens = sum(await asyncio.gather(*map(ask, problems)))
    return new_tokens / (time.perf_counter() - begun)


async def measure() -> list[tuple[float, float]]:
    api = get_model("thinklogit/mini", config=CONFIG).api
    # Those to recall end after 20 tokens: half of what they cost is the prompt.
    problems = world.problems("dev", ROUNDS * PROBLEMS_ALONE + PROBLEMS, kind="search")
    await tokens_per_s(api, problems[:IN_FLIGHT], IN_FLIGHT)  # warms up
    rounds = []
    for number in range(ROUNDS):
        alone = problems[number * PROBLEMS_ALONE : (number + 1) * PROBLEMS_ALONE]
        pair = await tokens_per_s(api, alone, 1), await tokens_per_s(api, problems[-PROBLEMS:], IN_FLIGHT)
        rounds.append(pair)
        print(f"round {number + 1}: {pair[0]:.0f} tokens/s one at a time, {pair[1]:.0f} with {IN_FLIGHT} in flight")
    return rounds


def main() -> None:
    rounds = asyncio.run(measure())
    ratios = sorted(many / one for one, many in rounds)
    result = {
        "what": "tokens per second of the in-process provider, mini trio, guided, temperature 0.6, top-p 0.95",
        "machine": f"{platform.machine()}, decoding on one thread",
        "in_flight": IN_FLIGHT,
        "rounds": [{"one_at_a_time": round(one, 1), "in_flight": round(many, 1)} for one, many in rounds],
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"ratio: median {result['ratio_median']}, from {ratios[0]:.2f} to {ratios[-1]:.2f} in {ROUNDS} rounds")


if __name__ == "__main__":
    main()
