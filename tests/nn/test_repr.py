"""The repr of every layer, letter for letter as PyTorch writes it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import lectorium as lt

torch = pytest.importorskip("torch", reason="parity needs torch")

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Identity", (3,), {}),
    ("Linear", (3, 4), {}),
    ("Linear", (3, 4), {"bias": False}),
    ("Bilinear", (3, 4, 5), {}),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2, "groups": 2}),
    ("Conv2d", (3, 4, 5), {}),
    ("Conv2d", (4, 4, (3, 5)), {"stride": 2, "padding": (1, 2), "dilation": 2, "groups": 4, "bias": False}),
    ("Conv2d", (3, 4, 3), {"padding": 1, "padding_mode": "reflect"}),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2}),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
    ("MaxPool1d", (3,), {"stride": 2}),
    ("MaxPool2d", (2,), {}),
    ("MaxPool2d", ((3, 2),), {"stride": (2, 1), "padding": 1, "dilation": 2, "ceil_mode": True}),
    ("MaxUnpool1d", (2,), {}),
    ("MaxUnpool2d", (2,), {"stride": 1}),
    ("AvgPool1d", (3,), {}),
    ("AvgPool2d", (3,), {"stride": 2}),
    ("AdaptiveAvgPool1d", (3,), {}),
    ("AdaptiveAvgPool2d", ((3, None),), {}),
    ("AdaptiveMaxPool2d", (3,), {}),
    ("LPPool2d", (2, 3), {}),
    ("BatchNorm1d", (3,), {}),
    ("BatchNorm2d", (3,), {"eps": 1e-3, "momentum": None, "affine": False, "track_running_stats": False}),
    ("InstanceNorm2d", (3,), {"affine": True}),
    ("LayerNorm", (3,), {}),
    ("LayerNorm", ((3, 4),), {"elementwise_affine": False}),
    ("RMSNorm", (3,), {}),
    ("GroupNorm", (2, 4), {}),
    ("LocalResponseNorm", (5,), {"alpha": 0.1}),
    ("Dropout", (), {}),
    ("Dropout2d", (0.2, True), {}),
    ("AlphaDropout", (0.1,), {}),
    ("Embedding", (10, 3), {"padding_idx": 2, "max_norm": 1.0, "norm_type": 1.0, "scale_grad_by_freq": True}),
    ("Flatten", (), {}),
    ("Unflatten", (1, (2, 3)), {}),
    ("ReLU", (), {}),
    ("ReLU", (True,), {}),
    ("ReLU6", (), {}),
    ("LeakyReLU", (0.2, True), {}),
    ("ELU", (), {}),
    ("CELU", (), {}),
    ("SELU", (), {}),
    ("GELU", (), {}),
    ("GELU", ("tanh",), {}),
    ("SiLU", (), {}),
    ("Mish", (), {}),
    ("Softplus", (), {}),
    ("Hardtanh", (), {}),
    ("Hardswish", (), {}),
    ("Hardsigmoid", (), {}),
    ("Softshrink", (), {}),
    ("Hardshrink", (), {}),
    ("Tanhshrink", (), {}),
    ("Threshold", (0.1, 20), {}),
    ("PReLU", (3,), {}),
    ("RReLU", (), {}),
    ("GLU", (), {}),
    ("Softmax", (1,), {}),
    ("LogSoftmax", (), {}),
    ("Softmin", (1,), {}),
    ("Softmax2d", (), {}),
    ("Sigmoid", (), {}),
    ("Tanh", (), {}),
    ("LogSigmoid", (), {}),
    ("Softsign", (), {}),
    ("ConstantPad1d", (2, 1.5), {}),
    ("ZeroPad2d", (2,), {}),
    ("ReflectionPad2d", ((1, 2, 3, 4),), {}),
    ("ReplicationPad1d", (2,), {}),
    ("CircularPad2d", (2,), {}),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}),
    ("Upsample", ((3, 4),), {}),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}),
    ("Unfold", (3,), {}),
    ("Fold", (3, 2), {}),
    ("PixelShuffle", (2,), {}),
    ("PixelUnshuffle", (2,), {}),
    ("ChannelShuffle", (2,), {}),
    ("CosineSimilarity", (), {}),
    ("PairwiseDistance", (), {}),
    ("CrossEntropyLoss", (), {}),
    ("NLLLoss", (), {}),
    ("MSELoss", (), {}),
    ("L1Loss", (), {}),
    ("SmoothL1Loss", (), {}),
    ("HuberLoss", (), {}),
    ("BCELoss", (), {}),
    ("BCEWithLogitsLoss", (), {}),
    ("KLDivLoss", (), {}),
    ("TripletMarginLoss", (), {}),
    ("CosineEmbeddingLoss", (), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), LAYERS)
def test_a_layer_looks_as_in_torch(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    assert repr(getattr(lt.nn, name)(*args, **options)) == repr(getattr(torch.nn, name)(*args, **options))


def build(nn: Any) -> Any:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.scale = nn.Parameter(nn.Linear(1, 1).weight)

        def extra_repr(self) -> str:
            return "scale=1"

    class Lines(nn.Module):
        def extra_repr(self) -> str:
            return "one\ntwo"

    layers = [nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())]
    return nn.Sequential(
        OrderedDict(
            [
                ("features", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential())),
                ("list", nn.ModuleList(layers)),
                ("dict", nn.ModuleDict({"a": nn.ReLU(), "b": Lines()})),
                ("empty", nn.ModuleList()),
                ("head", Head()),
            ]
        )
    )


def test_a_nested_model_looks_as_in_torch() -> None:
    assert repr(build(lt.nn)) == repr(build(torch.nn))


def test_lists_and_dicts_of_parameters_say_what_is_in_them() -> None:
    ours = lt.nn.ParameterList([lt.zeros(2, 3), lt.zeros(1)])
    theirs = torch.nn.ParameterList([torch.zeros(2, 3), torch.zeros(1)])
    assert repr(ours) == repr(theirs).replace("torch.", "lectorium.")
    ours = lt.nn.ParameterDict({"a": lt.zeros(2, 3), "b": lt.zeros(1)})
    theirs = torch.nn.ParameterDict({"a": torch.zeros(2, 3), "b": torch.zeros(1)})
    want = repr(theirs).replace("torch.FloatTensor", "lectorium.float32")
    assert repr(ours) == want


def test_a_parameter_says_that_it_is_one() -> None:
    ours, theirs = lt.nn.Parameter(lt.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    assert repr(ours) == repr(theirs)
