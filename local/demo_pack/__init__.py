"""Coldswap's own small models: the drawn faces that they are trained on, the training code, and the judge of swaps."""

NAME = "demo"
LICENCE = "MIT"
HINT = (
    "The demo pack recognises drawn faces only. For photographs, the operator publishes other models: make models "
    "ACCEPT=1 for InsightFace's, which are for non-commercial research only."
)
