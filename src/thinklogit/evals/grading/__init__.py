"""Graders: a completion and a reference in, a verdict out. They know neither models nor tasks."""
