"""Models in S3: described by a manifest, fetched in verified chunks, published once."""
