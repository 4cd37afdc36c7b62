"""GazeGaussian as published (Wei et al., ICCV 2025), faults included, so that its published weights can be used.

Where this differs from our own model, and why it does, is in `docs/decisions/0008-published-checkpoint.md`.
"""
