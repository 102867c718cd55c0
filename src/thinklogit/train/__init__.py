"""ThinkLogit-DPO: preference pairs from graded answers, and a guider trained on them."""
