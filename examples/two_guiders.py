"""Models at hand as one trio with two guiders, saved as a folder that anyone can load."""

from tempfile import TemporaryDirectory

from transformers import AutoModelForCausalLM

import thinklogit
from thinklogit import Guider, ThinkLogitForCausalLM

mini, tokenizer = thinklogit.load("mini")
pair = mini.guiders[0]
# The same pair twice, at half strength each, is the pair at full strength; yours would be two different reasoners.
model = ThinkLogitForCausalLM.from_members(
    mini.target, [Guider(pair.guider, pair.base, 0.5), Guider(pair.guider, pair.base, 0.5)], warmup_tokens=0
)
with TemporaryDirectory() as folder:
    model.save_pretrained(folder)  # refers to the members, copies no weight
    tokenizer.save_pretrained(folder)
    again = AutoModelForCausalLM.from_pretrained(folder)
prompt = tokenizer("<|user|>A pen costs 8, a cup 13. Ann paid 55. How many of each?<|assistant|>", return_tensors="pt")
for each in (model, again, mini):
    out = each.generate(**prompt, max_new_tokens=220, do_sample=False)
    print(tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
