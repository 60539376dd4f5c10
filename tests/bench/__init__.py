"""Benchmarks at true size. Names that the processes of one share."""

MODELS, UPLOADS, OUTPUTS = "models", "uploads", "outputs"
PICTURE = "picture.jpg"  # in the uploads bucket; the meme, and the face too
RESULT = "result.png"  # in the outputs bucket
WARM_RUNS = "BENCH_WARM_RUNS"  # in the environment of an arm: how many of them, if not its own number
FILES = ("detector.onnx", "embedder.onnx", "swapper.onnx")  # under naive/ of the models bucket, as peers publish them
