"""Pico members on disk: random weights with a byte-level tokenizer that reads any text, some with an odd entry."""

import torch
from conftest import pico
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

MERGED = 256
"""The id of "17", the one token of more than a byte."""
END, PAD, USER, ASSISTANT = SPECIALS = ("<|end|>", "<|pad|>", "<|user|>", "<|assistant|>")
END_ID, PAD_ID, USER_ID, ASSISTANT_ID = range(257, 261)
ENTRIES, ROWS = 261, 264
TEMPLATE = "{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}<|assistant|>"


def pico_tokenizer(specials=SPECIALS, *, end=0, pad=1, bos=None, template=TEMPLATE, digits=False, backwards=False):
    """Bytes, "17", then the specials; `digits` cuts numbers into digits; `backwards` gives every byte another id."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=backwards)
    vocabulary = {token: id for id, token in enumerate([*letters, "17", *specials])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("1", "7")]))
    cut = pre_tokenizers.Split(Regex(r"\d" if digits else r"\d+"), behavior="isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(specials))
    if bos is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=None if end is None else specials[end],
        pad_token=None if pad is None else specials[pad],
        bos_token=bos,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def save_member(folder, seed, *, tokenizer=None, near=None, ends=END_ID, rows=ROWS, context=128, **shape):
    """Write a random member; with `near`, one whose weights are a light change of that member's."""
    model = pico(seed=seed, vocab=rows, **shape)
    if near is not None:
        with torch.no_grad():
            for weight, other in zip(model.parameters(), near.parameters(), strict=True):
                weight.copy_(other + 0.05 * weight)
    model.config.max_position_embeddings = context
    model.generation_config.eos_token_id = ends
    model.generation_config.pad_token_id = PAD_ID
    model.save_pretrained(folder)
    if tokenizer is not False:
        (tokenizer or pico_tokenizer()).save_pretrained(folder)
    return model


def save_members(folder, *, target=None, guider=None, base=None):
    """Write target, guider and base, a light change apart, each with other arguments where given; the folder."""
    base_model = save_member(folder / "base", 3, **(base or {}))
    guider = guider or {}
    same_rows = guider.get("rows", ROWS) == (base or {}).get("rows", ROWS)
    save_member(folder / "guider", 2, **({"near": base_model} if same_rows else {}), **guider)
    save_member(folder / "target", 1, **{"width": 24, "layers": 3, **(target or {})})
    return folder


def save_adapter(folder, model, seed=5, **config):
    """Write a LoRA that matters, its B not zero, made on a copy of the model in a folder; the adapter's folder."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    shape = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}
    worn = get_peft_model(AutoModelForCausalLM.from_pretrained(model), LoraConfig(**shape | config))
    if config.get("bias"):
        with torch.no_grad():
            for weight in (each for name, each in worn.named_parameters() if name.endswith("bias")):
                weight.normal_()
    worn.save_pretrained(folder)
    return folder
