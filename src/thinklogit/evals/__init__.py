"""Measures what a trio is worth: tasks, graders, metrics, on the harness of inspect-ai."""
