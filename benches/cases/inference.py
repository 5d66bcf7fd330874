"""Inference at batch 1 and 32."""

from __future__ import annotations

from typing import Any

from sides import Side

from . import Parts, add


def inference(name: str, file: str, model: str, shape: tuple[int, ...], **options: Any) -> None:
    """A net in evaluation mode, at both batch sizes."""
    for batch in (1, 32):

        def build(side: Side, batch: int = batch) -> Parts:
            net = side.place(getattr(side.module(file), model)(**options).eval())
            x = side.data(side.draw(batch, *shape))

            def call() -> None:
                with side.lib.inference_mode():
                    net(x)

            return call

        add(f"infer {name} b{batch}", f"inference, batch {batch}", build, layouts=True, compiles=True)


inference("LeNet-5", "lenet5", "LeNet5", (1, 28, 28))
inference("VGG-16 32x32", "vgg", "VGG16", (3, 32, 32), classes=10, batch_norm=True, small=True)
inference("ResNet-18 224", "resnet", "ResNet18", (3, 224, 224))
inference("U-Net 128", "unet", "UNet", (1, 128, 128), width=32)
