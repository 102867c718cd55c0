"""Things that yield logits: the trio's config, the composite model, loading, and whether members go together.

The composite comes first, whichever module here is asked for: it teaches transformers the model type, and transformers
asks for it in the middle of its own import, when a module that began before it would be half there.
"""

from thinklogit.models import composite as composite
