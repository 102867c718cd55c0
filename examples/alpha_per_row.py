"""One batch, one alpha a row: how strongly must this problem be guided?"""

import torch

import thinklogit
from thinklogit import mini

model, tokenizer = thinklogit.load("mini")
problem = mini.problems("dev", 1, seed=3)[0]
chat = [{"role": "user", "content": problem.question}]
ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=False)
alphas = [0.0, 0.25, 0.5, 1.0, 2.0]
rows = ids.expand(len(alphas), -1)
out = model.generate(rows, attention_mask=torch.ones_like(rows), alpha=alphas, max_new_tokens=220, do_sample=False)
print(problem.question)
for alpha, row in zip(alphas, out, strict=True):
    text = tokenizer.decode(row[ids.shape[1] :], skip_special_tokens=True)
    print(f"alpha {alpha:<4g} {'right' if mini.grade(problem, text).correct else 'wrong'}  {text[-40:]}")
