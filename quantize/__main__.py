"""``python -m quantize``: make a model package from a recipe, or measure one."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from appliance.errors import ManifestError
from appliance.manifest import ModelManifest, SiteResult, load_manifest
from quantize.data import DataError
from quantize.metrics import words
from quantize.spec import RecipeError, read_recipe

CACHE = Path(".cache/quantize")
_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    envvar="WAYPOST_DATA",
    help="Folder that holds the data sets.",
)


@click.group()
def main() -> None:
    """Train, quantize and measure the models of the appliance."""
    logging.basicConfig(level=logging.WARNING)


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
def run(recipe: Path, data: Path, out: Path, work: Path | None, threads: int) -> None:
    """Make the package that RECIPE describes; what was finished before is not done again.

    On a CPU, read the head of quantize/train.py first: three variables save a third of the time.
    """
    import torch  # noqa: PLC0415 - `evaluate` and `--help` need none of it

    from quantize import recipe as straight_way  # noqa: PLC0415

    torch.set_num_threads(threads)
    with _spoken_errors():
        spec = read_recipe(recipe)
        folder = work if work is not None else CACHE / spec.id / spec.version
        with _progress() as progress:
            task = progress.add_task("train", total=spec.steps)

            def report(step: int, measured: dict[str, float]) -> None:
                progress.update(task, completed=step, description=f"loss {measured['loss']:.3f}")

            manifest = straight_way.run(spec, data, out, folder, report)
    _console().print(_table(manifest, manifest.results))


@main.command()
@click.argument("package", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_DATA
@click.option("--set", "sets", multiple=True, help="Only this data set; may be repeated.")
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The FP32 graph of the run, for the paired comparison.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate(
    package: Path, data: Path, sets: tuple[str, ...], reference: Path | None, *, as_json: bool
) -> None:
    """Measure PACKAGE on its data sets, each split as its manifest lists it."""
    from quantize.remeasure import remeasure  # noqa: PLC0415

    with _spoken_errors():
        manifest = load_manifest(package)
        results = remeasure(manifest, data, sets, reference)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=1))
    else:
        _console().print(_table(manifest, results))


class _spoken_errors:  # noqa: N801 - reads as a phrase where it is used
    """Turn an expected error into click's one sentence and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (DataError, ManifestError, RecipeError)):
            raise click.ClickException(str(error)) from error


def _console() -> Console:
    """Give a pipe or a file the table's full width; a terminal has its own."""
    console = Console()
    return console if console.is_terminal else Console(width=220)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _table(manifest: ModelManifest, results: tuple[SiteResult, ...]) -> Table:
    table = Table(title=f"{manifest.id} {manifest.version}", caption="95 % intervals")
    for name in (
        "data set",
        "split",
        "n",
        "AUROC",
        "sensitivity",
        "specificity",
        "abstained",
        "AUROC - FP32",
        "flips",
        "mean |dp|",
    ):
        table.add_column(name)
    for r in results:
        change = r.mean_probability_change
        table.add_row(
            r.data_set, r.split, str(r.n_positive + r.n_negative), words(r.auroc),
            words(r.sensitivity), words(r.specificity), words(r.abstained),
            words(r.auroc_difference, 4), words(r.flips, 4),
            "-" if change is None else f"{change:.4f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
