"""Guiders of another tokenizer family: they read the target's text in their own tokens.

token_bytes   what bytes each token of a tokenizer stands for
reading       how a tokenizer cuts a text that grows
turns         a chat prompt of the target's template, said in another's
lattice       the ways of cutting one text that carry weight
follower      guider and base beside a batch of texts: caches, tree attention, masses for the target's tokens
"""
