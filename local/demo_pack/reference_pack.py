"""The demo pack behind insightface's own classes: what grades swaps and measures the pack, apart from our own code."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD

from local.demo_pack.canvas import Bytes, Floats

PACK = Path(__file__).parent


@dataclass
class ReferencePack:
    """The four models behind insightface's classes."""

    detector: Any
    embedder: Any
    swapper: Any
    judge: Any

    @staticmethod
    def load(folder: Path = PACK) -> "ReferencePack":
        """Load the files; onnxruntime may use two threads."""
        detector = SCRFD(str(folder / "detector.onnx"), session=session(folder / "detector.onnx"))
        detector.prepare(-1)
        embedder, judge = (
            ArcFaceONNX(str(folder / name), session=session(folder / name)) for name in ("embedder.onnx", "judge.onnx")
        )
        with contextlib.redirect_stdout(io.StringIO()):  # INSwapper prints its input shape
            swapper = INSwapper(str(folder / "swapper.onnx"), session=session(folder / "swapper.onnx"))
        return ReferencePack(detector, embedder, swapper, judge)

    def faces(self, picture: Bytes, size: int) -> list[Any]:
        """Faces of a picture with their embeddings, largest first; detection at `size` pixels."""
        boxes, points = self.detector.detect(picture, input_size=(size, size))[:2]
        faces = []
        for box, five in zip(boxes, points, strict=True):
            face = Face(bbox=box[:4], kps=five, det_score=box[4])
            self.embedder.get(picture, face)
            faces.append(face)
        return sorted(faces, key=lambda face: -float(face.bbox[3] - face.bbox[1]))

    def embed_with_judge(self, picture: Bytes, face: Any) -> Floats:
        """The judge's unit embedding of a found face."""
        copy = Face(bbox=face.bbox, kps=face.kps, det_score=face.det_score)
        self.judge.get(picture, copy)
        return np.asarray(copy.normed_embedding, np.float32)

    def swap_crop(self, crop: Bytes, embedding: Floats) -> Bytes:
        """Swap an aligned crop uint8 BGR [128, 128, 3] to the unit embedding, as INSwapper.get does before it
        pastes."""
        latent = embedding[None] @ self.swapper.emap
        latent /= np.linalg.norm(latent)
        blob = cv2.dnn.blobFromImage(crop, 1 / 255, (128, 128), (0, 0, 0), swapRB=True)
        output = self.swapper.session.run(None, {"target": blob, "source": latent.astype(np.float32)})[0][0]
        pixels = np.clip(output.transpose(1, 2, 0)[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels)


def session(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session of at most two threads that keeps quiet about the unused embedding map."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
