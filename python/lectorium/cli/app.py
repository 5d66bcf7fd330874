"""The commands and their flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import recipes
from .._core import __version__
from ..recipes.stop import Stopped

app = typer.Typer(
    name="lectorium",
    help="Trains the models of a deep learning course, and uses them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class StoppedRun(Exception):
    """A training run was stopped by a signal, and said what is left."""

    def __init__(self, stop: Stopped) -> None:
        super().__init__(str(stop))
        self.number = stop.number


DATA = "strokes, mnist, tinyshakespeare and others"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lectorium {__version__}")
        raise typer.Exit


@app.callback()
def lectorium(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Trains the models of a deep learning course, and uses them."""


# What typer does not know is looked up among the recipe's own options.
@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="What to train; `lectorium list` names the recipes.")],
    data: Annotated[
        str | None, typer.Option(help=f"The data set: {DATA}; `lectorium list` names each recipe's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The (highest) learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same numbers. [default: 0]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads for the kernels; the numbers stay the same.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder itself. [default: runs/RECIPE]", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most so many examples to train on and to test on.")
    ] = None,
) -> None:
    """Train a recipe; the last line printed is its result.

    Some recipes have options of their own, such as --cell, which come after the name; `lectorium info RECIPE`
    shows them.
    """
    from ..recipes.options import parsed
    from .show import TrainingView

    if recipe.startswith("-"):
        raise recipes.RecipeError(f"the recipe comes first: lectorium train RECIPE {recipe} …")
    recipes.get(recipe)
    options = parsed(context.args)
    try:
        with TrainingView() as view:
            result = recipes.train(
                recipe, data=data, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, limit=limit,
                threads=threads, out=out, resume=resume, listener=view, **options,
            )  # fmt: skip
            folder = out if out is not None else Path("runs") / recipe
            view.say(f"checkpoint, metrics and pictures: {folder}")
    except Stopped as stop:
        # Typer keeps every KeyboardInterrupt to itself, and its message with it.
        raise StoppedRun(stop) from None
    _last_line(result)


@app.command("eval")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[str | None, typer.Option(help=f"Another data set than the run's: {DATA}.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads for the kernels.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many examples.")] = None,
) -> None:
    """Test the model in a run folder, on its own data or on another set."""
    from .show import TrainingView

    _threads(threads)
    with TrainingView() as view:
        result = recipes.evaluate(run, data=data, limit=limit, listener=view)
    _last_line(result)


@app.command()
def predict(
    picture: Annotated[
        Path, typer.Argument(help="A picture of one digit, of any size, dark on light or light on dark.")
    ],
    run: Annotated[Path, typer.Option(help="The run folder with the model that reads.")] = Path(
        "runs/lenet5"
    ),
) -> None:
    """Read a digit from a picture."""
    from ..recipes.reading import read_picture
    from .show import show_reading

    show_reading(*read_picture(picture, run))


@app.command()
def translate(
    text: Annotated[str, typer.Argument(help="A short French sentence.")],
    run: Annotated[Path, typer.Option(help="The run folder with the model.")] = Path("runs/translate"),
) -> None:
    """Translate a sentence from French to English."""
    from ..recipes import using

    print(using.translate(text, run))


@app.command()
def transcribe(
    sound: Annotated[Path, typer.Argument(help="A WAV file of digits in English, 8000 samples a second.")],
    run: Annotated[Path, typer.Option(help="The run folder with the model.")] = Path("runs/speech-ctc"),
) -> None:
    """Write down the digits said in a sound."""
    from ..recipes import using

    print(*using.transcribe(sound, run))


@app.command()
def judge(
    text: Annotated[str, typer.Argument(help="A sentence about a film, in English.")],
    run: Annotated[Path, typer.Option(help="The run folder with the model.")] = Path("runs/sentiment"),
) -> None:
    """Say whether a sentence is for or against a film."""
    from ..recipes import using
    from .show import show_reading

    show_reading(*using.judge(text, run))


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="The run folder of a char-rnn.")],
    prime: Annotated[
        str, typer.Option(help="The text to go on from. [default: a new line]", show_default=False)
    ] = "\n",
    temperature: Annotated[float, typer.Option(help="Below 1 the text is safer, above 1 wilder.")] = 1.0,
    length: Annotated[int, typer.Option(help="Characters to write.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Write text with a trained char-rnn: the prime text, then what the model goes on with."""
    written = recipes.sample(run, prime=prime, length=length, temperature=temperature, seed=seed)
    print((prime + written).lstrip("\n"), flush=True)


@app.command()
def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, or folders of them. [default: runs]", show_default=False),
    ] = None,
) -> None:
    """Print the results of complete runs as a table in Markdown."""
    print(recipes.report(runs or ()), flush=True)


@app.command("list")
def list_() -> None:
    """Name the recipes."""
    from .show import show_recipes

    show_recipes()


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A recipe, or a model that `lectorium list` names.")],
) -> None:
    """Show a model's layers: output shapes, parameters, multiply-adds."""
    from ..recipes.errors import unknown
    from ..recipes.layers import layers, layers_of
    from .networks import NETWORKS
    from .show import show_layers, show_options

    if name in recipes.SUMMARIES:
        recipe = recipes.get(name)
        title, rows = recipes.SUMMARIES[name], layers_of(recipe.model(), *recipe.example())
    elif name in NETWORKS:
        net = NETWORKS[name]
        title, rows = net.title, layers(net.make(), net.input_shape, net.dtype)
    else:
        raise unknown("recipe or model", name, [*recipes.SUMMARIES, *NETWORKS])
    show_layers(f"{name}: {title}", rows)
    if name in recipes.SUMMARIES:
        show_options(recipes.get(name).options)


def _threads(threads: int | None) -> None:
    from .._core import set_num_threads
    from ..recipes.recipe import whole

    if threads is not None:
        set_num_threads(whole("threads", threads, 1))


def _last_line(result: dict[str, Any]) -> None:
    # Not through rich: exactly this, whatever the width of the terminal.
    print(result["figure"], flush=True)
