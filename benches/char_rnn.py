"""The recipe char-rnn here and in PyTorch: one source, the same first weights, batches and settings.

    LECTORIUM_DATA=… python benches/char_rnn.py [--seeds 0 1 2] [--only torch] [--runs DIR] [--write]

Validation loss after the last epoch, for each seed; only dropout differs. What is complete in DIR stays.
"""

from __future__ import annotations

import time
from typing import Any

from recipe_sides import arguments, compare

import lectorium as lt
from lectorium import recipes
from lectorium.recipes.training import streams


def in_torch(given: dict[str, Any], threads: int) -> dict[str, Any]:
    """Trains and validates as `lectorium.recipes.training` does, with PyTorch's own parts."""
    import torch
    import torch_models

    torch.set_num_threads(threads)
    recipe = recipes.get("char-rnn")
    settings = recipe.settings(**given)
    data = recipe.read(settings)
    lt.manual_seed(settings.seed)
    weights = recipe.build(settings, data.facts).state_dict()
    torch.manual_seed(settings.seed)
    model = torch_models.load("char_rnn").CharRNN(
        len(data.facts["vocabulary"]), *(settings.options[name] for name in ("hidden", "layers", "cell"))
    )
    model.load_state_dict({name: torch.from_numpy(value.numpy().copy()) for name, value in weights.items()})
    batches = streams(len(data.train), settings.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.lr, total_steps=settings.epochs * len(batches), pct_start=0.1
    )

    def loss_of(part: Any, state: Any) -> tuple[Any, Any]:
        scores, state = model(torch.from_numpy(part.inputs), state)
        return torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), torch.from_numpy(part.targets).flatten()
        ), state

    def cut(state: Any, rows: int) -> Any:
        if state is None:
            return None
        return (
            tuple(s[:, :rows].detach() for s in state)
            if isinstance(state, tuple)
            else state[:, :rows].detach()
        )

    started = time.perf_counter()
    validation: list[float] = []
    for epoch in range(settings.epochs):
        model.train()
        state = None
        for chosen in batches:
            loss, state = loss_of(data.train.take(chosen), cut(state, len(chosen)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_norm)
            optimizer.step()
            schedule.step()
        model.eval()
        state, total = None, 0.0
        with torch.no_grad():
            for chosen in streams(len(data.test), recipe.test_batch):
                loss, state = loss_of(data.test.take(chosen), cut(state, len(chosen)))
                total += loss.item() * len(chosen)
        validation.append(total / len(data.test))
        print(
            f"torch, seed {settings.seed}, epoch {epoch + 1}: {validation[-1]:.4f}, "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return {"test_loss": validation[-1], "validation": validation, "seconds": time.perf_counter() - started}


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = arguments(__doc__, "runs/char-rnn-torch", [0, 1, 2])
    parser.add_argument("--cell", default="lstm", choices=("rnn", "lstm", "gru"))
    parser.add_argument("--lr", type=float)
    args = parser.parse_args()
    compare(
        "char_rnn.py", args, "char-rnn", in_torch, ("test_loss", ".3f"),
        "Tiny Shakespeare, nats a character.",
        settings={"data": "tinyshakespeare", "lr": args.lr}, options={"cell": args.cell},
    )  # fmt: skip


if __name__ == "__main__":
    main()
