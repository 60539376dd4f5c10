"""The images as AWS would run them: a Docker engine, `sam build`, `sam local`, and what they cost.

`python -m local.sam` does it all. It uses the engine that is running; on Debian, as root, it otherwise starts one
and stops it again. Other containers and images are never touched.
"""
