"""The images as AWS would run them: a Docker engine, `sam build`, `sam local`, and what they cost.

`python -m local.sam` does it all. It uses the engine that answers; on Debian, as root, it brings one up for itself and
takes it down again. Containers and images of others are never touched.
"""
