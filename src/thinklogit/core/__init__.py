"""Maths and plain records: fusion, schedules, sampling, records, errors. Knows nothing of models, files of weights or commands."""
