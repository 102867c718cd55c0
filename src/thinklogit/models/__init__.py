"""Things that yield logits: the trio's config, the composite model, loading, and whether members go together."""
