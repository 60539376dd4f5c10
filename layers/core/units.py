"""Units in which limits are written."""

MIB = 1 << 20  # bytes
MEGAPIXEL = 1_000_000  # pixels
