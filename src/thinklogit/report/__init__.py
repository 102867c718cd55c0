"""Tables and comparisons, from what evaluations left on disk."""
