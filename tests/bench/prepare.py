"""Makes the inputs of a benchmark once: full-size stand-ins, their pack as in S3, and a picture. bench.py runs it:

    python -m tests.bench.prepare FOLDER [quick]

The folder then has objects/BUCKET/KEY. It takes half a minute and 1.1 GB; with networks of an eighth of the width
(quick), seconds and 60 MB.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from functions.swap.face import looks
from functions.swap.face.detect import BRIEF
from functions.swap.face.looks import STRIDE, TILT, Pyramid, pad
from layers.media.picture import Pixels
from layers.models.tools import convert, onnx_file, partition, recognise_inswapper, recognise_iresnet
from layers.models.tools.publish import publish
from tests.bench import FILES, MODELS, PICTURE, UPLOADS
from tests.support import model_standins

SIDE = 1080  # of the picture
PATCH = slice(360, 720)
SIZE = 512  # of the detection
FACE_SIDE = 2 * model_standins.HALF_SIDE * STRIDE  # in the upright look
NEAR = 0.05  # of the logit, between the one face and the next best: too near for differences of arithmetic
CLEAR = 0.6  # the same in the detector that is made in the end
QUICK_WIDTH = 128  # of the swapper; the native engine supports no narrower one


class Folder:
    """The calls of boto3's S3 client that `publish` makes, on files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, bucket: str, key: str) -> Path:
        """Path of an object's file."""
        return self._root / bucket / key

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """As boto3."""
        path = self.path(Bucket, Key)
        if not path.exists():
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 404}}, "HeadObject")
        return {"ContentLength": path.stat().st_size}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:
        """As boto3."""
        path = self.path(Bucket, Key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)


def version() -> str:
    """SHA-256 of the code that makes stand-ins and packs: when it changes, they are made again."""
    makers = (looks, model_standins, convert, onnx_file, partition, recognise_inswapper, recognise_iresnet)
    return hashlib.sha256("".join(map(inspect.getsource, makers)).encode()).hexdigest()


def prepare(folder: Path, quick: bool = False) -> None:
    """Fill the folder, unless the same code has filled it."""
    marker = folder / "done"
    if marker.exists() and marker.read_text() == version():
        return
    marker.unlink(missing_ok=True)
    objects = Folder(folder / "objects")
    naive = objects.path(MODELS, "naive")
    naive.mkdir(parents=True, exist_ok=True)
    detector, embedder, swapper = (naive / name for name in FILES)
    make_swapper(swapper, quick)
    make_embedder(embedder, quick)
    objects.put_object(UPLOADS, PICTURE, picture_with_one_face(detector))
    publish(naive, MODELS, objects, "standin", dict.fromkeys(("detector", "embedder", "swapper"), "none"))
    marker.write_text(version())


def make_detector(quick: bool) -> Callable[..., Path]:
    """The function that makes the detector of buffalo_l: det_10g, or in quick form det_500m of the same family."""
    return model_standins.det_500m if quick else model_standins.det_10g


def make_swapper(path: Path, quick: bool, precision: model_standins.Precision = "fp16") -> None:
    """Make inswapper_128, at true size or an eighth of its width."""
    model_standins.inswapper(path, precision, QUICK_WIDTH if quick else 1024)


def make_embedder(path: Path, quick: bool) -> None:
    """Make w600k_r50, at true size or half its width, which the native engine takes too, with fewer blocks."""
    if quick:
        model_standins.w600k_r50(path, 32, (1, 1, 1, 1))
    else:
        model_standins.w600k_r50(path)


def picture_with_one_face(
    detector: Path, make: Callable[..., Path] = model_standins.det_500m, sizes: Sequence[int] = (SIZE,)
) -> bytes:
    """Make the detector's file and a JPEG in which it finds one face: black pictures with a random patch are tried
    until one has a single best place well inside, and the detector's bias puts the threshold between it and the next.

    Both insightface's one look and all of ours see that place alone, also in the picture framed for each of `sizes`.
    """
    make(detector)
    session = onnxruntime.InferenceSession(str(detector), providers=["CPUExecutionProvider"])
    for seed in range(200):
        noise = np.random.default_rng(seed).integers(0, 256, (18, 18, 3), np.uint8).astype(np.uint8)
        pixels = np.zeros((SIDE, SIDE, 3), np.uint8)  # black, as around a tilted look: its edges show nothing
        pixels[PATCH, PATCH] = cv2.resize(noise, (360, 360), interpolation=cv2.INTER_CUBIC)
        jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        ratings = [_rate(session, np.asarray(cv2.resize(_decode(jpeg), (SIZE, SIZE)), np.uint8))]
        if ratings[0].max() - np.sort(ratings[0], axis=None)[-2] <= NEAR:
            continue
        for size in sizes:
            pyramid = Pyramid(_decode(framed(jpeg, SIDE * size // SIZE)), size)
            views = [*pyramid.views(), *pyramid.turned_views(BRIEF / (FACE_SIDE * TILT))]
            views.sort(key=lambda view: view.pixels.shape != (size, size, 3))  # the plain one first
            ratings += [_rate(session, view.pixels) for view in views]
        plain = [look for look in ratings if look.shape[0] * STRIDE in (SIZE, *sizes)]
        places = {np.unravel_index(int(look.argmax()), look.shape) for look in plain}
        best = min(float(look.max()) for look in plain)
        rivals = [np.sort(look, axis=None)[-2 if any(look is one for one in plain) else -1] for look in ratings]
        ((row, column),) = places if len(places) == 1 else ((0, 0),)
        lead = best - float(max(rivals))
        if 4 <= row <= 11 and 4 <= column <= 11 and lead > NEAR:
            factor = CLEAR / lead
            make(detector, shift=-(best - lead / 2) * factor, spread=model_standins.SPREAD * factor)
            return jpeg
    raise RuntimeError("no picture with a single clear face was found")


def framed(picture: bytes, side: int) -> bytes:
    """Put the picture (JPEG) on a larger black square, so that a detector of a larger size sees it unchanged."""
    if side == SIDE:
        return picture
    square = np.zeros((side, side, 3), np.uint8)
    square[:SIDE, :SIDE] = _decode(picture)
    return cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _decode(picture: bytes) -> Pixels:
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _rate(session: onnxruntime.InferenceSession, pixels: Pixels) -> NDArray[np.float64]:
    """The logits of all places at the coarsest stride, the better of each two anchors."""
    padded = pad(pixels)
    rows, columns = (side // STRIDE for side in padded.shape[:2])
    feed = cv2.dnn.blobFromImage(padded, 1 / 128, mean=(127.5,) * 3, swapRB=True)  # RGB, about -1 to 1
    (score,) = session.run([session.get_outputs()[2].name], {"input.1": feed})
    logits = np.log(score.astype(np.float64) / (1 - score))
    return np.asarray(logits.reshape(rows, columns, 2).max(2), np.float64)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), sys.argv[2:] == ["quick"])
