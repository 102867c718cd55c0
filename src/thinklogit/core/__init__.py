"""Maths and plain records: fusion, schedules, sampling, errors. Knows nothing of models, weights or commands."""
