"""Each model against its twin: the same source on PyTorch (benches/torch_models.py), with copied weights.

All in training mode, without dropout. Float64: outputs, gradients of all parameters and the running statistics of
batch norm differ nowhere by more than 1e-8 of the largest value in the tensor. Float32: outputs by a relative
norm of 1e-3 and, with Softplus in place of ReLU, outputs by 1e-4 and gradients by 5e-3: a ReLU that falls on the
other side of 0 makes much of any rounding, and so does batch norm over few values.

Where a gradient is small beside the others (that of a bias before batch norm is 0 but for rounding), its error
is taken relative to 1e-4 of the largest gradient's norm or value.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import require_torch, sample, to_numpy

torch = require_torch()
import torch_models  # noqa: E402

Make = Callable[[Any], Any]
Named = list[tuple[str, np.ndarray]]

# Pictures as small as poolings and batch norms allow, so that all of it takes seconds.
CASES: dict[str, tuple[str, Make, tuple[int, ...]]] = {
    "AlexNet": ("alexnet", lambda m: m.AlexNet(10), (2, 3, 63, 63)),
    "VGG16": ("vgg", lambda m: m.VGG16(10, small=True), (2, 3, 32, 32)),
    "VGG16 with batch norm": ("vgg", lambda m: m.VGG16(10, batch_norm=True, small=True), (4, 3, 32, 32)),
    "GoogLeNet": ("googlenet", lambda m: m.GoogLeNet(10), (4, 3, 64, 64)),
    "GoogLeNet with auxiliary classifiers": (
        "googlenet",
        lambda m: m.GoogLeNet(10, aux=True),
        (4, 3, 48, 48),
    ),
    "ResNet18": ("resnet", lambda m: m.ResNet18(10), (4, 3, 64, 64)),
    "ResNet34": ("resnet", lambda m: m.ResNet34(10), (4, 3, 32, 32)),
    "ResNet50": ("resnet", lambda m: m.ResNet50(10), (8, 3, 32, 32)),
    "ResNet20": ("resnet20", lambda m: m.ResNet20(), (4, 3, 32, 32)),
    "ResNeXt29": ("resnext29", lambda m: m.ResNeXt29(group_width=16), (4, 3, 16, 16)),
    "DenseNet": ("densenet", lambda m: m.DenseNet(), (4, 3, 16, 16)),
    "DenseNet121": ("densenet", lambda m: m.DenseNet121(10), (8, 3, 32, 32)),
    "UNet": ("unet", lambda m: m.UNet(width=8), (2, 1, 32, 48)),
    "UNet with batch norm": ("unet", lambda m: m.UNet(3, 5, width=4, batch_norm=True), (2, 3, 32, 32)),
    "Generator of 64x64": ("dcgan", lambda m: m.Generator(64, width=16), (4, 100)),
    "Generator of 32x32": ("dcgan", lambda m: m.Generator(32), (4, 100)),
    "Discriminator of 64x64": ("dcgan", lambda m: m.Discriminator(64, width=16), (4, 3, 64, 64)),
    "Discriminator of 32x32": ("dcgan", lambda m: m.Discriminator(32), (4, 3, 32, 32)),
    "VAE": ("vae", lambda m: m.VAE(), (4, 1, 28, 28)),
    "WaveNet": ("wavenet", lambda m: m.WaveNet(), (2, 300)),
    "LeNet5": ("lenet5", lambda m: m.LeNet5(), (4, 1, 28, 28)),
    "CifarNet": ("cifarnet", lambda m: m.CifarNet(), (4, 3, 32, 32)),
    "MLP": ("mlp", lambda m: m.MLP(), (4, 784)),
    "HelloRNN": ("hello_rnn", lambda m: m.HelloRNN(), (2, 5, 4)),
    "CharRNN": ("char_rnn", lambda m: m.CharRNN(256, 16, dropout=0.0), (2, 9)),
    "CharRNN of GRUs": ("char_rnn", lambda m: m.CharRNN(256, 16, cell="gru", dropout=0.0), (2, 9)),
    "Seq2Seq": ("seq2seq", lambda m: m.Seq2Seq(256, 16), (2, 7)),
    "AddingNets": ("adding_nets", lambda m: m.AddingNets(hidden=8), (3, 12, 2)),
}
EVERY = pytest.mark.parametrize("name", CASES)


@pytest.fixture(autouse=True)
def _the_same_noise_for_both_and_one_thread_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The VAE draws; and nets as small as these only wait for each other on several threads."""
    for lib, vae in (
        (lt, importlib.import_module("lectorium.models.vae")),
        (torch, torch_models.load("vae")),
    ):

        def noise(t: Any, lib: Any = lib) -> Any:
            return lib.from_numpy(sample(tuple(t.shape), "float64", seed=5)).to(t.dtype)

        monkeypatch.setattr(vae, "randn_like", noise)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def prepare(model: Any, nn: Any, soft: bool) -> Any:
    """Training mode without dropout, and with Softplus for ReLU if `soft`."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, child in list(module.named_children()):
            if soft and isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
    return model.train()


def twins(name: str, dtype: str, soft: bool = False) -> tuple[Any, Any]:
    """Our model and PyTorch's with the same weights, under the same names in the same order."""
    file, make, _ = CASES[name]
    ours = prepare(make(importlib.import_module(f"lectorium.models.{file}")), lt.nn, soft)
    with torch.device("meta"):
        theirs = prepare(make(torch_models.load(file)), torch.nn, soft)
    ours.to(getattr(lt, dtype))
    weights = {key: torch.from_numpy(value.numpy().copy()) for key, value in ours.state_dict().items()}
    assert list(weights) == list(theirs.state_dict())
    theirs.load_state_dict(weights, assign=True)
    return ours, theirs


def draw(name: str, dtype: str) -> np.ndarray:
    """A batch: integers for models that begin with an embedding, values from 0 to 1 for the others."""
    shape = CASES[name][2]
    integers = name == "WaveNet" or name.startswith(("CharRNN", "Seq2Seq"))
    return sample(shape, "int64", 0, 255) if integers else sample(shape, dtype, 0.0, 1.0)


def outputs(lib: Any, model: Any, x: np.ndarray) -> list[Any]:
    return flat(model(lib.from_numpy(x)))


def flat(result: Any) -> list[Any]:
    """The tensors of a result; recurrent models return their final states too."""
    return [part for each in result for part in flat(each)] if isinstance(result, tuple) else [result]


def gradients(lib: Any, model: Any, results: list[Any]) -> Named:
    """The parameters' gradients of a sum of the outputs, each with a weight of its own."""
    total: Any = 0
    for i, r in enumerate(results):
        weight = sample(tuple(r.shape), "float64", -1.0, 1.0, seed=i)
        total = total + (r * lib.from_numpy(weight).to(r.dtype)).sum()
    total.backward()
    return [(name, to_numpy(p.grad)) for name, p in model.named_parameters()]


def assert_close(
    ours: Named, theirs: Named, size: Callable[[np.ndarray], Any], bound: float, floor: float = 0.0
) -> None:
    """size(difference) is at most `bound` of size(tensor), or of `floor` of the largest of all sizes."""
    largest = max(float(size(b)) for _, b in theirs)
    for (name, a), (other, b) in zip(ours, theirs, strict=True):
        assert (name, a.shape, a.dtype) == (other, b.shape, b.dtype)
        error, scale = float(size(a - b)), max(float(size(b)), floor * largest)
        assert error <= bound * scale, f"{name}: off by {error / scale:.1e}"


def norm(a: np.ndarray) -> Any:
    return np.linalg.norm(a.astype(np.float64))


def most(a: np.ndarray) -> Any:
    return np.abs(a).max(initial=0)


def named(tensors: list[Any]) -> Named:
    return [(f"output {i}", to_numpy(t)) for i, t in enumerate(tensors)]


@EVERY
def test_in_float64_outputs_gradients_and_running_statistics_are_pytorchs(name: str) -> None:
    ours, theirs = twins(name, "float64")
    x = draw(name, "float64")
    mine, other = outputs(lt, ours, x), outputs(torch, theirs, x)
    assert_close(named(mine), named(other), most, 1e-8)
    assert_close(gradients(lt, ours, mine), gradients(torch, theirs, other), most, 1e-8, floor=1e-4)
    for (key, a), (same, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert_close([(key, to_numpy(a))], [(same, to_numpy(b))], most, 1e-8)


@EVERY
def test_in_float32_outputs_are_pytorchs(name: str) -> None:
    ours, theirs = twins(name, "float32")
    x = draw(name, "float32")
    with lt.no_grad(), torch.no_grad():
        assert_close(named(outputs(lt, ours, x)), named(outputs(torch, theirs, x)), norm, 1e-3)
    # Evaluation mode uses the running statistics that the line above has moved.
    ours.eval(), theirs.eval()
    with lt.no_grad(), torch.no_grad():
        assert_close(named(outputs(lt, ours, x)), named(outputs(torch, theirs, x)), norm, 1e-3)


@EVERY
def test_in_float32_with_softplus_for_relu_outputs_and_gradients_are_pytorchs(name: str) -> None:
    ours, theirs = twins(name, "float32", soft=True)
    x = draw(name, "float32")
    mine, other = outputs(lt, ours, x), outputs(torch, theirs, x)
    assert_close(named(mine), named(other), norm, 1e-4)
    if name != "CifarNet":  # its ReLUs are function calls
        assert_close(gradients(lt, ours, mine), gradients(torch, theirs, other), norm, 5e-3, floor=1e-4)


def test_in_float32_two_blocks_of_vgg_with_batch_norm_have_pytorchs_gradients() -> None:
    """With ReLU, and so joined with batch norm: two blocks, so that few ReLUs fall on the other side of 0."""
    x = draw("VGG16 with batch norm", "float32")
    found: list[Named] = []
    twin = twins("VGG16 with batch norm", "float32")
    for lib, model in zip((lt, torch), twin, strict=True):
        head = model.features[:14]
        assert [type(m).__name__ for m in head[-3:]] == ["BatchNorm2d", "ReLU", "MaxPool2d"]
        found.append(gradients(lib, head, outputs(lib, head, x)))
    assert_close(*found, norm, 1e-3, floor=1e-2)  # of conv biases before batch norm only rounding is left


def test_the_vaes_loss_is_pytorchs() -> None:
    ours, theirs = twins("VAE", "float64")
    x = draw("VAE", "float64")
    mine = lt.models.vae_loss(lt.from_numpy(x), *outputs(lt, ours, x))
    other = torch_models.load("vae").vae_loss(torch.from_numpy(x), *outputs(torch, theirs, x))
    assert abs(mine.item() - other.item()) <= 1e-10 * other.item()
    mine.backward(), other.backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert most(to_numpy(a.grad) - to_numpy(b.grad)) <= 1e-8 * most(to_numpy(b.grad))
