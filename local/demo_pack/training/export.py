"""Write the pack from the checkpoints: `python -m local.demo_pack.training.export BUILD_FOLDER [PACK_FOLDER]`.

Weights are stored as float16 behind a Cast, arithmetic stays float32, opset 11, as in inswapper_128_fp16.
"""

import argparse
import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from local.demo_pack.training import train_embedder
from local.demo_pack.training.networks import STRIDES, DetectorNet, EmbedderNet, SwapperNet

OPSET = 11
LICENCE = "MIT"

CAUTION = 0.25
"""Taken from every score's logit: at the usual threshold of 0.5, what is in doubt is then no face. Without it, the face
of a photograph is found at 0.501."""


class _FlatOutputs(nn.Module):
    """The detector as SCRFD expects it: probabilities, and outputs of one picture without the batch axis."""

    def __init__(self, network: DetectorNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(picture)
        scores = [torch.sigmoid(score).reshape(-1, 1) for score in outputs[:3]]
        boxes = [box.reshape(-1, 4) for box in outputs[3:6]]
        return (*scores, *boxes, *(points.reshape(-1, 10) for points in outputs[6:]))


def trace(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    free: dict[str, dict[int, str]],
    path: Path,
) -> onnx.ModelProto:
    """Export through TorchScript: the newer exporter has no opset 11. `free` names the axes that are not fixed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    return onnx.load(str(path))


def fold_pads(model: onnx.ModelProto) -> None:
    """Replace the sub-graphs that compute the widths of Pad nodes by their values, and drop what then is unused."""
    graph = model.graph
    pads = [node for node in graph.node if node.op_type == "Pad"]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(node.input[1], TensorProto.INT64, [8]) for node in pads)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {item.name: np.zeros(item.shape, np.float32) for item in session.get_inputs()}
    widths = session.run([node.input[1] for node in pads], feed)
    for number, (node, width) in enumerate(zip(pads, widths, strict=True)):
        node.input[1] = f"pads_{number}"
        graph.initializer.append(numpy_helper.from_array(np.asarray(width, np.int64), node.input[1]))
    outputs = {item.name for item in graph.output}
    while True:
        used = {name for node in graph.node for name in node.input} | outputs
        dead = [node for node in graph.node if not used.intersection(node.output)]
        for node in dead:
            graph.node.remove(node)
        if not dead:
            break
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def halve(model: onnx.ModelProto) -> None:
    """Store every float32 weight of more than 64 values as float16 with a Cast back to float32."""
    graph = model.graph
    weights, casts = [], []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) <= 64:
            weights.append(tensor)
            continue
        half = f"{tensor.name}_fp16"
        weights.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [tensor.name], name=f"cast_{tensor.name}", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(casts + nodes)


def write(model: onnx.ModelProto, path: Path) -> None:
    """Check and save; a reader never sees half a file."""
    model.producer_name = "coldswap"
    model.doc_string = "Trained on procedurally drawn faces. MIT licence."
    onnx.checker.check_model(model)
    partial = path.with_suffix(".tmp")
    onnx.save(model, str(partial))
    os.replace(partial, path)


def export_detector(build: Path, path: Path) -> None:
    """The detector with SCRFD's nine outputs and free height and width."""
    network = DetectorNet()
    network.load_state_dict(torch.load(build / "detector.pt")["average"])
    with torch.no_grad():
        network.score.bias -= CAUTION
    outputs = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    free = {"input.1": {2: "height", 3: "width"}} | {name: {0: f"anchors_{name}"} for name in outputs}
    sizes = {"score": 1, "bbox": 4, "kps": 10}
    model = trace(
        _FlatOutputs(network), (torch.randn(1, 3, 256, 256),), ["input.1"], outputs, free, build / "detector.raw.onnx"
    )
    for item in model.graph.output:
        item.type.tensor_type.shape.dim[1].dim_value = sizes[item.name.split("_")[0]]
    halve(model)
    write(model, path)


def export_embedder(build: Path, name: str, path: Path) -> None:
    """The embedder or the judge, without the head that read the identity."""
    network: EmbedderNet = train_embedder.load(build / f"{name}.pt")
    if name == "embedder":  # which went on learning with the swapper
        network.load_state_dict(torch.load(build / "swapper.pt")["embedder"])
    network.head = nn.Identity()
    free = {"input.1": {0: "batch"}, "embedding": {0: "batch"}}
    model = trace(network, (torch.randn(2, 3, 112, 112),), ["input.1"], ["embedding"], free, build / f"{name}.raw.onnx")
    halve(model)
    write(model, path)


def export_swapper(build: Path, path: Path) -> None:
    """The swapper; INSwapper takes the embedding map from the last initializer, so it goes in last."""
    checkpoint = torch.load(build / "swapper.pt")
    network = SwapperNet()
    network.load_state_dict(checkpoint["average"])
    inputs = (torch.rand(1, 3, 128, 128), torch.randn(1, 512))
    model = trace(network, inputs, ["target", "source"], ["output"], {}, build / "swapper.raw.onnx")
    fold_pads(model)
    shape = model.graph.output[0].type.tensor_type.shape
    for dim, size in zip(shape.dim, (1, 3, 128, 128), strict=True):  # the exporter loses them in the padding
        dim.dim_value = size
    halve(model)
    model.graph.initializer.append(numpy_helper.from_array(checkpoint["emap"].numpy().astype(np.float32), "buff2fs"))
    write(model, path)


def describe(pack: Path) -> None:
    """Write pack.json: digest, size and contract of every file of the pack."""
    models = {}
    for kind in ("detector", "embedder", "swapper", "judge"):
        path = pack / f"{kind}.onnx"
        if not path.exists():
            continue
        content = path.read_bytes()
        graph = onnx.load_model_from_string(content).graph
        models[kind] = {
            "file": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "licence": LICENCE,
            "inputs": [_contract(item) for item in graph.input],
            "outputs": [_contract(item) for item in graph.output],
        }
    (pack / "pack.json").write_text(json.dumps({"pack": "demo", "models": models}, indent=2) + "\n")


def _contract(item: onnx.ValueInfoProto) -> dict[str, object]:
    shape = item.type.tensor_type.shape.dim
    dtype = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type).name
    return {"name": item.name, "dtype": dtype, "shape": [dim.dim_param or dim.dim_value for dim in shape]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("pack", type=Path, nargs="?", default=Path(__file__).parents[1])
    options = parser.parse_args()
    build, pack = options.build, options.pack
    torch.set_num_threads(1)
    for name in ("embedder", "judge"):
        if (build / f"{name}.pt").exists():
            export_embedder(build, name, pack / f"{name}.onnx")
    if (build / "detector.pt").exists():
        export_detector(build, pack / "detector.onnx")
    if (build / "swapper.pt").exists():
        export_swapper(build, pack / "swapper.onnx")
    describe(pack)


if __name__ == "__main__":
    main()
