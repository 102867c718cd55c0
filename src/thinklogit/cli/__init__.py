"""The commands, one file a verb; each imports what it runs only when it runs."""
