"""``python -m quantize``: make a model package from a recipe, or measure one."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table

from appliance.errors import ManifestError
from appliance.manifest import ModelManifest, SiteResult, Task, load_manifest
from quantize.data import DataError, read_site
from quantize.gates import Gate, GateError
from quantize.metrics import words
from quantize.spec import RecipeError, read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from quantize.compare import Comparison
    from quantize.published import Film

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
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the package goes; a smoke run's goes into a temporary folder.",
)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--smoke", is_flag=True, help="In miniature, within a minute; not to be shipped.")
def run(
    recipe: Path, data: Path, out: Path | None, work: Path | None, threads: int, *, smoke: bool
) -> None:
    """Make the package that RECIPE describes; what was finished before is not done again.

    Nothing is packaged while a gate refuses; the exit status is 1 then. On a CPU, read the head of
    quantize/train.py first: three variables save a third of the time.
    """
    import torch  # noqa: PLC0415 - `evaluate` and `--help` need none of it

    from quantize import recipe as straight_way  # noqa: PLC0415

    torch.set_num_threads(threads)
    if out is None and not smoke:
        raise click.UsageError("give --out, the folder of the package")
    with _spoken_errors(), TemporaryDirectory() as scratch:
        spec = read_recipe(recipe)
        folder = work if work is not None else CACHE / spec.id / spec.version
        if smoke:
            out, folder = Path(scratch) / "package", Path(scratch) / "work"
        with _reporting(spec.steps) as report:
            manifest = straight_way.run(spec, data, out, folder, report, smoke=smoke)
        gates = [Gate(**entry) for entry in json.loads((folder / "gates.json").read_text())]
    _console().print(_gates_table(gates))
    _console().print(_table(manifest, manifest.results))


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
def package(recipe: Path, data: Path, out: Path, work: Path | None) -> None:
    """Judge and package what a finished run of RECIPE left, without training it again."""
    from quantize import recipe as straight_way  # noqa: PLC0415 - see `run`
    from quantize.stages import Stages  # noqa: PLC0415

    with _spoken_errors():
        spec = read_recipe(recipe)
        folder = work if work is not None else CACHE / spec.id / spec.version
        made = Stages(folder) if (folder / "stages.json").is_file() else None
        if made is None or not made.finished("prune" if spec.prune else "train"):
            raise DataError(f"{folder} holds no finished training: run the recipe first.")
        with _reporting(spec.steps) as report:
            manifest = straight_way.run(spec, data, out, folder, report)
    _console().print(_table(manifest, manifest.results))


@main.command()
@click.argument("name")
@_DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def unpack(name: str, data: Path, out: Path) -> None:
    """Write the MedMNIST set NAME as a folder with pictures and labels.csv."""
    from quantize.medmnist import unpack as write_set  # noqa: PLC0415

    with _spoken_errors():
        click.echo(write_set(name, data, out))


@main.command()
@click.argument("name")
@click.argument("originals", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--side-px", type=click.IntRange(32), help="Longest side; default: the set's own.")
@click.option("--most", type=click.IntRange(1), help="At most so many films of each label.")
def adapt(name: str, originals: Path, out: Path, side_px: int | None, most: int | None) -> None:
    """Write the set NAME as a recipe reads it, from ORIGINALS, its publisher's unpacked files.

    docs/datasets.md lists the sets, and where each is to be had.
    """
    from quantize.adapt import adapt as write_set  # noqa: PLC0415
    from quantize.adapt import summary  # noqa: PLC0415

    def passing(films: Sequence[Film]) -> Iterator[Film]:
        yield from track(films, description=name, console=Console(stderr=True))

    with _spoken_errors():
        adapted = write_set(name, originals, out, side_px, most, passing)
    click.echo(summary(adapted))
    for note in adapted.notes:
        click.echo(note)
    click.echo(adapted.table)


@main.command()
@click.argument("package", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_DATA
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The FP32 graph of the run; without it the damage of eight bits is not judged.",
)
@click.option(
    "--uncut",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The FP32 graph before channels were cut; the loss is then counted from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def gates(
    package: Path, data: Path, reference: Path | None, uncut: Path | None, *, as_json: bool
) -> None:
    """Hold a finished PACKAGE against the gates; exit status 1 if any refuses."""
    from quantize.judge import judge_package  # noqa: PLC0415

    with _spoken_errors():
        verdicts = judge_package(load_manifest(package), data, reference, uncut)
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    else:
        _console().print(_gates_table(verdicts))
    if not all(verdict.passed for verdict in verdicts):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("first", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("second", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_DATA
@click.option("--set", "sets", multiple=True, help="Only this data set; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(first: Path, second: Path, data: Path, sets: tuple[str, ...], *, as_json: bool) -> None:
    """Measure two packages on the same films, side by side."""
    from quantize.compare import compare as side_by_side  # noqa: PLC0415

    with _spoken_errors():
        rows = side_by_side(load_manifest(first), load_manifest(second), data, sets)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _console().print(_comparison_table(rows))


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
def leave_out(recipe: Path, data: Path, work: Path | None) -> None:
    """Train RECIPE once for each of its sites without it, and measure on the site left out."""
    from quantize.leave_out import leave_out as one_by_one  # noqa: PLC0415

    with _spoken_errors():
        spec = read_recipe(recipe)
        folder = work if work is not None else CACHE / f"{spec.id}-leave-out"
        with _reporting(spec.steps) as report:
            results = one_by_one(spec, data, folder, report)
    _console().print(_sites_table(f"{spec.id} {spec.version}: the site left out", results))


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--ratios", default="0.2,0.3,0.5", show_default=True, help="Shares of the channels.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
def pareto(recipe: Path, data: Path, ratios: str, work: Path | None) -> None:
    """Prune RECIPE's network to several ratios: AUROC, flips, time and size of each."""
    from quantize.pareto import pareto as cut_to_each  # noqa: PLC0415

    with _spoken_errors():
        spec = read_recipe(recipe)
        folder = work if work is not None else CACHE / spec.id / spec.version
        wanted = tuple(float(ratio) for ratio in ratios.split(","))
        with _reporting(spec.steps) as report:
            points = cut_to_each(spec, wanted, data, folder, report)
    table = Table(title=f"{spec.id} {spec.version}", caption=f"plot: {folder / 'pareto.svg'}")
    for name in ("channels cut", "AUROC", "flips", "ms, one thread", "MB"):
        table.add_column(name)
    for point in points:
        table.add_row(
            f"{point.ratio:.0%}", f"{point.auroc:.4f}", f"{point.flips:.4f}",
            f"{point.median_ms:.2f}", f"{point.size_bytes / 1e6:.2f}",
        )  # fmt: skip
    _console().print(table)


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
def check(recipe: Path, data: Path) -> None:
    """Look at RECIPE's data alone: patients, copies, shortcuts; exit status 1 if refused."""
    from quantize.judge import judge_data  # noqa: PLC0415
    from quantize.leaks import check_leaks  # noqa: PLC0415
    from quantize.shortcuts import shortcuts  # noqa: PLC0415

    with _spoken_errors():
        spec = read_recipe(recipe)
        samples = [s for site in spec.sites for s in read_site(data, site.spec)]
        check_leaks(data, samples)
        trained = [s for s in samples if s.site in spec.trained]
        verdicts = judge_data(shortcuts(data, trained, spec.input))
    unknown = any(site.spec.patients_unknown for site in spec.sites)
    patients = "patients are not known" if unknown else "no patient is in two splits"
    click.echo(f"{len(samples)} films: {patients}, and no two of different splits show the same")
    _console().print(_gates_table(verdicts))
    if not all(verdict.passed for verdict in verdicts):
        raise click.exceptions.Exit(1)


def _make_with(way: str, recipe: Path, data: Path, out: Path, work: Path | None) -> None:
    """Make a package by the way `quantize.<way>`, whose recipe another module reads."""
    import torch  # noqa: PLC0415 - see `run`

    from quantize import kinds, segment  # noqa: PLC0415
    from quantize.kinds_spec import read_kind_recipe  # noqa: PLC0415
    from quantize.segment_spec import read_outline_recipe  # noqa: PLC0415

    torch.set_num_threads(os.cpu_count() or 1)
    with _spoken_errors():
        read, make = {
            "segment": (read_outline_recipe, segment.run),
            "kinds": (read_kind_recipe, kinds.run),
        }[way]
        spec = read(recipe)
        folder = work if work is not None else CACHE / spec.id / spec.version
        with _reporting(spec.steps) as report:
            manifest = make(spec, data, out, folder, report)
    _console().print(_table(manifest, manifest.results))


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
def segment(recipe: Path, data: Path, out: Path, work: Path | None) -> None:
    """Make the package of a model that outlines, which RECIPE describes."""
    _make_with("segment", recipe, data, out, work)


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_DATA
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
def kinds(recipe: Path, data: Path, out: Path, work: Path | None) -> None:
    """Make the package of a model that tells kinds of images, which RECIPE describes."""
    _make_with("kinds", recipe, data, out, work)


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
    from quantize.kinds_remeasure import remeasure_kinds  # noqa: PLC0415
    from quantize.remeasure import remeasure  # noqa: PLC0415
    from quantize.segment_remeasure import remeasure_outlines  # noqa: PLC0415

    with _spoken_errors():
        manifest = load_manifest(package)
        again = {
            Task.CLASSIFICATION: remeasure,
            Task.SEGMENTATION: remeasure_outlines,
            Task.KIND: remeasure_kinds,
        }[manifest.task]
        results = again(manifest, data, sets, reference)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=1))
    else:
        _console().print(_table(manifest, results))


class _spoken_errors:  # noqa: N801 - reads as a phrase where it is used
    """Turn an expected error into click's one sentence and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (DataError, GateError, ManifestError, RecipeError)):
            raise click.ClickException(str(error)) from error


def _console() -> Console:
    """Give a pipe or a file the table's full width; a terminal has its own."""
    console = Console()
    return console if console.is_terminal else Console(width=220)


@contextmanager
def _reporting(steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Show the steps of the training as they pass."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("train", total=steps)

        def report(step: int, measured: dict[str, float]) -> None:
            bar.update(task, completed=step, description=f"loss {measured['loss']:.3f}")

        yield report


def _gates_table(verdicts: Sequence[Gate]) -> Table:
    table = Table(title="gates")
    for name in ("gate", "", "what was measured"):
        table.add_column(name)
    for verdict in verdicts:
        table.add_row(verdict.name, "passed" if verdict.passed else "REFUSED", verdict.sentence)
    return table


def _comparison_table(rows: Sequence[Comparison]) -> Table:
    names = (rows[0].first, rows[0].second) if rows else ("", "")
    table = Table(title=f"{names[0]} beside {names[1]}", caption="95 % intervals")
    columns = ("AUROC", "sensitivity", "specificity", "abstained")
    for name in ("data set", "split", "n", *columns, "AUROC, second - first", "same decision"):
        table.add_column(name)
    for row in rows:
        cells = [
            "\n".join(words(getattr(result, name.lower())) for result in row.results)
            for name in columns
        ]
        table.add_row(
            row.results[0].data_set, row.results[0].split, str(row.n), *cells,
            words(row.auroc_difference, 4), words(row.agreement),
        )  # fmt: skip
    return table


def _table(manifest: ModelManifest, results: Sequence[SiteResult]) -> Table:
    if manifest.task is Task.SEGMENTATION:
        return _outlines_table(manifest, results)
    return _sites_table(f"{manifest.id} {manifest.version}", results)


def _outlines_table(manifest: ModelManifest, results: Sequence[SiteResult]) -> Table:
    table = Table(title=f"{manifest.id} {manifest.version}", caption="95 % intervals")
    for name in ("data set", "split", "n", "Dice", "Dice - FP32", "TensorRT - CPU", "not shown"):
        table.add_column(name)
    for r in results:
        table.add_row(
            r.data_set, r.split, str(r.n_positive), words(r.dice), words(r.dice_difference, 4),
            words(r.tensorrt_dice_difference, 4), words(r.abstained),
        )  # fmt: skip
    return table


def _sites_table(title: str, results: Sequence[SiteResult]) -> Table:
    table = Table(title=title, caption="95 % intervals")
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
