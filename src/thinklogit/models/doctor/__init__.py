"""Do these members go together, what will they cost, where will they fit? Examined without loading a weight."""
