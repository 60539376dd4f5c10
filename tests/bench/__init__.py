"""Benchmarks at true size (docs/benchmarks.md), and the names that a benchmark's processes share."""

MODELS, UPLOADS, OUTPUTS = "models", "uploads", "outputs"
PICTURE = "picture.jpg"  # in the uploads bucket; the meme, and the face too
RESULT = "result.png"  # in the outputs bucket
WARM_RUNS = "BENCH_WARM_RUNS"  # environment variable of an arm: the number of warm runs, in place of its own
FILES = ("detector.onnx", "embedder.onnx", "swapper.onnx")  # under naive/ of the models bucket, as peers publish them
