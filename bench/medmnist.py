"""The recipe on PneumoniaMNIST, three seeds, beside what MedMNIST v2 published for that test split.

The result is ``bench/out/medmnist.json``; docs/pneumoniamnist.md is written of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe, save

from appliance.preprocess import prepare
from quantize import medmnist
from quantize import recipe as straight_way
from quantize.data import labels
from quantize.evaluate import graph_logits, open_graph
from quantize.metrics import auroc, auroc_interval
from quantize.phantoms import golden_phantoms
from quantize.spec import read_recipe

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "bench" / "out" / "medmnist.json"
PAGE = ROOT / "docs" / "pneumoniamnist.md"
RECIPE = ROOT / "quantize" / "recipes" / "pneumoniamnist.toml"
SEEDS = (1, 2, 3)
TIMED = 200
# Yang and others, MedMNIST v2, Scientific Data 10:41, 2023, table 3: AUROC and accuracy.
PUBLISHED = (
    ("ResNet-18 (28)", 0.944, 0.854),
    ("ResNet-50 (224)", 0.962, 0.884),
    ("AutoKeras", 0.947, 0.878),
    ("Google AutoML Vision", 0.991, 0.946),
)


def main() -> None:
    """Run the recipe once a seed (finished stages are kept), or write the page of earlier runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "pneumoniamnist")
    parser.add_argument("--page", action="store_true", help="only write docs/pneumoniamnist.md")
    arguments = parser.parse_args()
    if not arguments.page:
        torch.set_num_threads(1)
        medmnist.unpack("pneumoniamnist", arguments.data, arguments.work / "data")
        runs = [one_seed(seed, arguments.work) for seed in SEEDS]
        save("medmnist", {"machine": describe(), "runs": runs})
    if not RESULT.is_file():
        sys.exit("not measured yet: run make bench-medmnist")
    PAGE.write_text(page(json.loads(RESULT.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def one_seed(seed: int, work: Path) -> dict[str, Any]:
    """Train, cut, quantize and measure with one seed."""
    recipe = read_recipe(RECIPE)
    recipe = replace(recipe, train=replace(recipe.train, seed=seed))
    bench = straight_way.gather(recipe, work / "data", work / f"seed-{seed}")

    def report(step: int, measured: dict[str, float]) -> None:
        if step % 100 == 0:
            print(f"seed {seed}, step {step}: loss {measured['loss']:.3f}", flush=True)

    trained = straight_way.train_stage(bench, report)
    cut = straight_way.prune_stage(bench, trained, report)
    straight_way.int8_stage(bench, straight_way.export_stage(bench, cut))
    rules = straight_way.decide_stage(bench)
    samples = bench.split("test")
    films, truth = bench.images(samples), labels(samples)
    graphs = {"uncut FP32": bench.graphs.uncut, "cut INT8": bench.graphs.cpu}
    measured: dict[str, Any] = {"seed": seed}
    for name, graph in graphs.items():
        assert graph is not None, "the recipe prunes"
        logits = graph_logits(graph, films, recipe.input)
        interval = auroc_interval(truth, logits)
        measured[name] = {
            "auroc": auroc(truth, logits),
            "low": interval.low,
            "high": interval.high,
            "accuracy": float(np.mean((rules.platt(logits) >= 0.5) == truth)),
            "bytes": graph.stat().st_size,
            "ms": _least_ms(graph, recipe.input.side_px, recipe),
        }
    return measured


def _least_ms(graph: Path, side_px: int, recipe: straight_way.Recipe) -> float:
    session = open_graph(graph, threads=1)
    batch = {session.get_inputs()[0].name: prepare(golden_phantoms(side_px)[0], recipe.input)}
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        session.run(None, batch)
        times.append(1000 * (time.perf_counter() - started))
    return min(times)


def page(result: dict[str, Any]) -> str:
    """Return docs/pneumoniamnist.md."""
    rows = []
    for name in ("uncut FP32", "cut INT8"):
        for run in result["runs"]:
            found = run[name]
            rows.append(
                f"| {name}, seed {run['seed']} | {found['auroc']:.4f} ({found['low']:.3f} to"
                f" {found['high']:.3f}) | {found['accuracy']:.3f} | {found['bytes'] / 1e6:.2f} |"
                f" {found['ms']:.2f} |"
            )
        mean = np.mean([run[name]["auroc"] for run in result["runs"]])
        accuracy = np.mean([run[name]["accuracy"] for run in result["runs"]])
        rows.append(f"| **{name}, mean** | **{mean:.4f}** | {accuracy:.3f} | | |")
    rows += [f"| {name} | {a:.3f} | {accuracy:.3f} | | |" for name, a, accuracy in PUBLISHED]
    found = result["machine"]
    return f"""# PneumoniaMNIST, beside published figures

Written by `make bench-medmnist`; nothing here is typed by hand but the published figures (Yang and
others, MedMNIST v2, Scientific Data 10:41, 2023, table 3). The recipe is
[pneumoniamnist.toml](../quantize/recipes/pneumoniamnist.toml): ImageNet's weights, the official
splits, cut and quantized as the shipped models are; nothing is chosen by the test split. Accuracy
is at a calibrated probability of one half, calibrated on the validation split. Time: one film, one
thread, ONNX Runtime, the least of {TIMED}.

| network | AUROC, test (95 %) | accuracy | MB | ms |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

It is a benchmark of the recipe and says nothing of a clinic: the pictures have 28 by 28 pixels, and
[twelve numbers without any anatomy](workbench.md#3-check-the-data) come as far as some of these
networks. Machine: {found["cpu"]}, {found["cores"]} cores, Python {found["python"]},
{found["date"]}.
"""


if __name__ == "__main__":
    main()
