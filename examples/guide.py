"""One problem, answered by the target alone and by the target guided."""

import thinklogit

model, tokenizer = thinklogit.load("mini")
chat = [{"role": "user", "content": "A pen costs 8, a cup 13. Ann paid 55. How many of each?"}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
for alpha in (0.0, 1.0):
    out = model.generate(**prompt, alpha=alpha, max_new_tokens=220, do_sample=False)
    text = tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"alpha {alpha:g}: {text}\n")
