"""Coldswap's own small models: the faces they learn from, the recipe, and the judge that grades them."""

NAME = "demo"
LICENCE = "MIT"
HINT = "The demo pack knows drawn faces only. For photographs, publish real models: make models."
