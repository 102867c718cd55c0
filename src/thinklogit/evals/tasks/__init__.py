"""The benchmarks, one file each: source, prompt, extraction, version."""
