"""Parity on vLLM's V2 runner: run by test_v2.py, in a process of its own. Prints what it found, as JSON."""

import json
import sys

import served

import thinklogit
from thinklogit.mini.world import problems
from thinklogit.models.places import MINI

GUIDANCE = [{"alpha": alpha, "warmup_tokens": warmup} for alpha in (0.0, 0.5, 1.5) for warmup in (0, 8)]
NEW_TOKENS = 20


def main() -> None:
    model, tokenizer = thinklogit.load("mini")
    chats = [[{"role": "user", "content": each.question}] for each in problems("dev", kind="search")[:4]]
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]
    how = {"speculative_config": json.loads(sys.argv[1])} if len(sys.argv) > 1 else {}
    with served.engine(MINI, **how) as llm:
        found = served.greedy(llm, prompts, GUIDANCE, NEW_TOKENS)
        runner = type(llm.llm_engine.model_executor.driver_worker.worker.model_runner).__module__
        accepted = served.counted(llm, "spec_decode_num_accepted_tokens")
    equal = found == served.reference(model, prompts, GUIDANCE, NEW_TOKENS)
    print(json.dumps({"runner": runner, "equal": equal, "accepted": accepted}))


if __name__ == "__main__":
    main()
