"""Offline inside vLLM: one batch, every request guided as strongly as it asks. Needs thinklogit[vllm]."""

from vllm import LLM, SamplingParams

from thinklogit.models.places import find_trio

if __name__ == "__main__":  # vLLM starts processes that read this file again
    llm = LLM(find_trio("mini"), dtype="float32", enforce_eager=True, kv_cache_memory_bytes=1 << 28)
    chat = [{"role": "user", "content": "A pen costs 8, a cup 13. Ann paid 55. How many of each?"}]
    strengths = (0.0, 0.5, 1.0)
    params = [
        SamplingParams(temperature=0, max_tokens=200, extra_args={"alpha": alpha, "warmup_tokens": 4})
        for alpha in strengths
    ]
    for alpha, output in zip(strengths, llm.chat([chat] * len(params), params, use_tqdm=False), strict=True):
        print(f"alpha {alpha:g}: {output.outputs[0].text}\n")
