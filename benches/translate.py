"""The recipe translate here and in PyTorch: one source, the same first weights, batches and settings.

    LECTORIUM_DATA=… python benches/translate.py [--seeds 0] [--only torch] [--runs DIR] [--write]

BLEU on the test sentences after the last epoch; only dropout differs. What PyTorch has trained is searched by
the same beam search. A complete run in DIR is not repeated.
"""

from __future__ import annotations

import time
from typing import Any

from recipe_sides import arguments, compare

import lectorium as lt
from lectorium import recipes
from lectorium.recipes.training import Training


def in_torch(given: dict[str, Any], threads: int) -> dict[str, Any]:
    """Trains as `lectorium.recipes.training` does, with PyTorch's own parts."""
    import torch
    import torch_models

    torch.set_num_threads(threads)
    recipe = recipes.get("translate")
    settings = recipe.settings(**given)
    data = recipe.read(settings)
    ours = Training(recipe, settings, data)  # for its first weights and its batches
    torch.manual_seed(settings.seed)
    model = torch_models.load("translator").Translator(len(data.facts["french"]), len(data.facts["english"]))
    first = ours.model.state_dict()
    model.load_state_dict({name: torch.from_numpy(value.numpy().copy()) for name, value in first.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.lr, total_steps=settings.epochs * ours.steps
    )
    started, searching, figures = time.perf_counter(), 0.0, []
    for epoch in range(settings.epochs):
        model.train()
        for chosen in ours._batches(epoch):
            part = data.train.take(chosen)
            lengths, longest = (part.inputs != 0).sum(axis=1), int((part.targets != 0).sum(axis=1).max())
            x, words = torch.from_numpy(part.inputs[:, : lengths.max()]), torch.from_numpy(part.targets)
            scores = model(x, torch.from_numpy(lengths), words[:, : longest - 1])
            loss = torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), words[:, 1:longest].flatten(), ignore_index=0, label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        began = time.perf_counter()
        trained = {name: lt.from_numpy(value.numpy().copy()) for name, value in model.state_dict().items()}
        ours.model.load_state_dict(trained)
        figures.append(recipe.watch(ours.model, data)["bleu"])
        searching += time.perf_counter() - began
        print(f"torch, seed {settings.seed}, epoch {epoch + 1}: BLEU {figures[-1]:.2f}", flush=True)
    seconds = time.perf_counter() - started - searching
    return {"bleu": figures[-1], "each": figures, "training_seconds": round(seconds, 3)}


def main() -> None:
    """Trains what is missing and prints the table."""
    args = arguments(__doc__, "runs/translate-torch", [0]).parse_args()
    compare("translate.py", args, "translate", in_torch, ("bleu", ".2f"), "French to English, BLEU.")


if __name__ == "__main__":
    main()
