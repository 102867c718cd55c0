"""A LoRA adapter on the guider: trained elsewhere, loaded into the trio, saved with it. Needs thinklogit[peft]."""

from tempfile import TemporaryDirectory

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import thinklogit

model, tokenizer = thinklogit.load("mini")
guider = get_peft_model(model.guiders[0].guider, LoraConfig(r=4, target_modules="all-linear"))
model.guiders[0].guider = guider  # train it here; fusion compares it with the same base as before
with TemporaryDirectory() as folder:
    model.save_pretrained(folder)  # the adapter alone is written
    again = AutoModelForCausalLM.from_pretrained(folder)
print(type(again.guiders[0].guider).__name__, again.config.member_refs["guiders.0.guider"].adapter)
