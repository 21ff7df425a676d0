"""Whether another engine computes U-Nets faster on a processor than PyTorch does.

Run: `python -m benchmarks.cpu_paths [--only classroom] [--rounds 20]`. Measures PyTorch as the app uses it,
`torch.compile`, and OpenVINO and ONNX Runtime where they are installed (they are none of the app's
requirements). All take turns in each round, so that a busy machine is as busy for each. Ends with one JSON
object a line: `{"id", "value"}`; `ratio` is the median of the rounds' times as a part of PyTorch's,
`difference` the largest one of a prediction, in deviations of the prediction; `prepare_s` is what it takes
before the first call.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pipelines.image.load import image_pipeline

Predict = Callable[[Tensor, Tensor, Tensor], Any]
# As stabilityai/sd-turbo, with random weights: 866 million parameters.
TRUE_SD = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024, "use_linear_projection": True,
}  # fmt: skip


class Plain(nn.Module):
    """A U-Net whose inputs and outputs are tensors alone, as exporters want them."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, timestep: Tensor, states: Tensor) -> Tensor:
        return self.unet(noisy, timestep, encoder_hidden_states=states, return_dict=False)[0]


def classroom() -> tuple[nn.Module, list[tuple[Tensor, ...]]]:
    """The classroom U-Net, for one guided picture and for eight."""
    unet = image_pipeline("classroom-image").unet
    return Plain(unet).eval(), [_inputs(unet, 16, branches) for branches in (2, 16)]


def sd_turbo() -> tuple[nn.Module, list[tuple[Tensor, ...]]]:
    """A U-Net of SD-Turbo's dimensions, for one picture without guidance."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**TRUE_SD).eval()
    return Plain(unet), [_inputs(unet, 64, 1)]


SUBJECTS = {"classroom": classroom, "sd_turbo": sd_turbo}


def _inputs(unet: UNet2DConditionModel, side: int, branches: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(branches, 4, side, side, generator=generator)
    states = torch.randn(branches, 77, unet.config.cross_attention_dim, generator=generator)
    return noisy, torch.full((branches,), 500.0), states


def _exported(model: nn.Module, inputs: tuple[Tensor, ...], folder: str) -> Path:
    path = Path(folder) / "unet.onnx"
    torch.onnx.export(
        model, inputs, path, input_names=["noisy", "timestep", "states"], dynamo=True, verbose=False
    )
    return path


def _openvino(model: nn.Module, inputs: tuple[Tensor, ...]) -> Predict:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(_exported(model, inputs, folder)), "CPU", options)
    return lambda *values: compiled([value.numpy() for value in values])[0]


def _onnx(model: nn.Module, inputs: tuple[Tensor, ...]) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(model, inputs, folder)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda *values: session.run(
        None, dict(zip(names, (value.numpy() for value in values), strict=True))
    )[0]


def _compile(model: nn.Module, inputs: tuple[Tensor, ...]) -> Predict:
    return torch.compile(model, dynamic=False)


ENGINES: dict[str, tuple[str, Callable[[nn.Module, tuple[Tensor, ...]], Predict]]] = {
    "compile": ("torch", _compile),
    "openvino": ("openvino", _openvino),
    "onnxruntime": ("onnxruntime", _onnx),
}


def _seconds(predict: Predict, inputs: tuple[Tensor, ...]) -> float:
    began = time.perf_counter()
    predict(*inputs)
    return time.perf_counter() - began


@torch.inference_mode()
def measure(name: str, rounds: int, engines: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of one U-Net."""
    model, everything = SUBJECTS[name]()
    for inputs in everything:
        subject = f"cpu_paths.{name}.{len(inputs[0])}"
        expected = model(*inputs).numpy()
        ready: dict[str, Predict] = {"torch": model}
        for engine in engines:
            package, make = ENGINES[engine]
            if find_spec(package) is None:
                continue
            began = time.perf_counter()
            with torch.no_grad():
                ready[engine] = make(model, tuple(one.clone() for one in inputs))
            found = np.asarray(ready[engine](*inputs))
            yield {"id": f"{subject}.{engine}.prepare_s", "value": round(time.perf_counter() - began, 2)}
            worst = np.abs(found - expected).max() / expected.std()
            yield {"id": f"{subject}.{engine}.difference", "value": float(f"{worst:.2g}")}
        times = [
            {engine: _seconds(predict, inputs) for engine, predict in ready.items()} for _ in range(rounds)
        ]
        plain = statistics.median(one["torch"] for one in times)
        yield {"id": f"{subject}.torch_s", "value": round(plain, 4)}
        for engine in ready.keys() - {"torch"}:
            ratio = statistics.median(one[engine] / one["torch"] for one in times)
            yield {"id": f"{subject}.{engine}.ratio", "value": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_paths")
    parser.add_argument("--only", default=",".join(SUBJECTS), help="comma-separated U-Nets")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma-separated engines")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    for name in args.only.split(","):
        for row in measure(name, args.rounds, args.engines.split(",")):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
