"""Coldswap's own small models: the faces they learn from, the recipe, and the judge that grades them."""
