"""Two hundred problems, sampled, graded, with an interval; a run repeats exactly from its seed."""

import thinklogit
from thinklogit import HuggingFaceEngine, SamplingParams, mini
from thinklogit.core.intervals import wilson

engine = HuggingFaceEngine(*thinklogit.load("mini"), batch_size=100)
problems = mini.problems("dev", 200, seed=1)
prompts = [[{"role": "user", "content": problem.question}] for problem in problems]
for mode in ("target", "guider", "guided"):
    params = SamplingParams(max_new_tokens=220, temperature=0.6, top_p=0.95, seed=0, mode=mode)
    completions = engine.generate(prompts, params)
    right = sum(mini.grade(p, c.text).correct for p, c in zip(problems, completions, strict=True))
    low, high = wilson(right, len(completions))
    print(f"{mode:7} {right}/{len(completions)} right, 95% interval {low:.0%} to {high:.0%}")
