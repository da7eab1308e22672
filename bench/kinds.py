"""Pictures of something else: the gate beside Chester's published rule, on the same images.

Chester (mlmed/chester-xray, ``res/js/system.js``) reads a picture only where a 64-pixel
autoencoder of chest films rebuilds it with a structural similarity over 0.60. Its weights are not
used: the rule is built anew here with an autoencoder of our own, trained on the same films as the
gate. The rule's other half, that a picture in colour is refused, is left out on both sides: every
image is shown grey.

    python bench/kinds.py --data DIR [--report]

The result is ``bench/out/kinds.json``; docs/kinds.md is written of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from machine import describe, save
from numpy.typing import NDArray
from torch import nn

from appliance.manifest import load_manifest
from appliance.preprocess import prepare, squeeze
from quantize.data import read_grey
from quantize.kinds_data import Kinded, read_kinds
from quantize.kinds_evaluate import shares
from quantize.kinds_pictures import CHEST
from quantize.kinds_spec import read_kind_recipe
from quantize.metrics import auroc_interval, even_weights, share, weighted_quantile, words

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "kinds.md"
SIDE, SEED, EPOCHS, BATCH = 64, 20240601, 12, 64
PUBLISHED = 0.60  # Chester's least structural similarity
REFUSED_SHARE = 0.01  # of good validation films, where a rule's own threshold is chosen anew
FEATURES = "/activation_1/Clip_output_0_DequantizeLinear_Output"
# One set whose two classes are two channels: photographs of films, and direct digital films.
PAKISTAN, PHOTOGRAPHED = "cxr_tb_pakistan", "tuberculosis"

Figures = NDArray[np.float64]


class Autoencoder(nn.Module):
    """A 64-pixel film through 512 numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 64, 128)
        down: list[nn.Module] = []
        for before, after in pairwise(widths):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        up: list[nn.Module] = []
        for before, after in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
            up += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.down = nn.Sequential(*down, nn.Flatten(), nn.Linear(128 * 16, 512))
        self.up = nn.Sequential(
            nn.Linear(512, 128 * 16),
            nn.Unflatten(1, (128, 4, 4)),
            *up,
            nn.ConvTranspose2d(widths[1], 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rebuild (n, 1, 64, 64), 0 to 1."""
        return self.up(self.down(x))


def main() -> None:
    """Measure, or write the page of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--report", action="store_true", help="only write the page")
    asked = parser.parse_args()
    kept = ROOT / "bench" / "out" / "kinds.json"
    if not asked.report:
        measure(asked.data)
    if not kept.is_file():
        sys.exit("not measured yet: run bench/kinds.py without --report")
    PAGE.write_text(page(json.loads(kept.read_text("utf-8"))), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def measure(root: Path) -> None:
    torch.set_num_threads(1)
    recipe = read_kind_recipe(ROOT / "quantize" / "recipes" / "gate.toml")
    samples = [sample for site in recipe.sites for sample in read_kinds(root, site)]
    # What the page shows: training films, validation films, every test image.
    samples = [s for s in samples if s.split != "train" or s.kind == CHEST]
    manifest = load_manifest(max((ROOT / "models" / "gate").iterdir()))
    codes = [output.code for output in manifest.outputs if output.group == "kind"]
    graph = with_features(manifest.path("model.cpu.onnx"))
    small, logits, features = [], [], []
    for number, sample in enumerate(samples):
        grey = read_grey(root / sample.site / sample.file)
        small.append(squeeze(grey, SIDE))
        batch = prepare(grey, manifest.input)
        said, _, drawn = graph.run(None, {graph.get_inputs()[0].name: batch})
        logits.append(said[0, : len(codes)])
        features.append(drawn[0].mean(axis=(1, 2)))
        if number % 1000 == 0:
            print(f"seen {number} of {len(samples)}", flush=True)
    kinds = shares(np.array(logits, np.float64))
    train = np.array([s.split == "train" for s in samples])
    embedded = np.array(features, np.float64)
    scores = {
        "gate": kinds[:, codes.index(CHEST)],
        "distance": -mahalanobis(embedded, embedded[train]),
        "chester": chester(np.stack(small), train),
    }
    ultrasound = {
        code: sets_of_kind(samples, code, kinds[:, index])
        for index, code in enumerate(codes)
        if code.endswith("ultrasound")
    }
    result = {
        "machine": describe(),
        "gate": f"{manifest.id} {manifest.version}",
        "point": manifest.operating_points[0].threshold,
        "epochs": EPOCHS,
        "train_films": int(train.sum()),
        "rules": rules(samples, scores, manifest.operating_points[0].threshold),
        "auroc": {name: areas(samples, values) for name, values in scores.items()},
        "ultrasound": ultrasound,
    }
    save("kinds", result)


def with_features(path: Path) -> Any:
    """Load the shipped graph with one more output: the maps before its classifier."""
    model = onnx.load(str(path))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(FEATURES))
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        onnx.save(model, file.name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(file.name, options, ["CPUExecutionProvider"])


def mahalanobis(values: Figures, films: Figures) -> Figures:
    """Distance (n,) to the training films' mean, by their covariance (shrunk by a hundredth)."""
    middle, spread = films.mean(axis=0), np.cov(films.T)
    spread += 0.01 * np.trace(spread) / len(spread) * np.eye(len(spread))
    away = values - middle
    return np.sqrt(np.einsum("ij,ij->i", away, np.linalg.solve(spread, away.T).T))


def chester(small: NDArray[np.uint8], train: NDArray[np.bool_]) -> Figures:
    """Structural similarity (n,) of each image with what the autoencoder makes of it."""
    torch.manual_seed(SEED)
    draw = np.random.default_rng(SEED)
    network = Autoencoder()
    films = torch.from_numpy(small[train].astype(np.float32) / 255)[:, None]
    teacher = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(teacher, EPOCHS)
    for epoch in range(EPOCHS):
        order, total = torch.from_numpy(draw.permutation(len(films))), 0.0
        for batch in order.split(BATCH):
            shown = films[batch]
            loss = nn.functional.mse_loss(network(shown), shown)
            teacher.zero_grad()
            loss.backward()
            teacher.step()
            total += float(loss.detach()) * len(batch)
        schedule.step()
        print(f"autoencoder, epoch {epoch + 1}: {total / len(films):.5f}", flush=True)
    network.eval()
    with torch.no_grad():
        rebuilt = [
            network(torch.from_numpy(part.astype(np.float32) / 255)[:, None])[:, 0].numpy()
            for part in np.array_split(small, 32)
        ]
    pairs = zip(small, np.concatenate(rebuilt), strict=True)
    return np.array([similarity(seen / 255.0, made) for seen, made in pairs])


def similarity(first: Figures, second: Figures) -> float:
    """Mean structural similarity, Wang et al., IEEE TIP 2004: 11 pixels, sigma 1.5."""

    def blur(values: Figures) -> Figures:
        return np.asarray(cv2.GaussianBlur(np.float64(values), (11, 11), 1.5))

    a, b = blur(first), blur(second)
    var_a, var_b = blur(first**2) - a * a, blur(second**2) - b * b
    cov = blur(first * second) - a * b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * a * b + c1) * (2 * cov + c2)
    return float((top / ((a * a + b * b + c1) * (var_a + var_b + c2)))[5:-5, 5:-5].mean())


def name_of(sample: Kinded) -> str:
    """Return the set of an image; photographed films are a set of their own."""
    if sample.site != PAKISTAN:
        return sample.site
    return f"{PAKISTAN}, {'photographed' if sample.label == PHOTOGRAPHED else 'digital'}"


def rules(
    samples: list[Kinded], scores: dict[str, Figures], point: float
) -> dict[str, dict[str, Any]]:
    """Return each rule with its threshold, and the share of each test set that it refuses."""
    chest = np.array([s.kind == CHEST for s in samples])
    val = np.array([s.split == "val" for s in samples]) & chest
    sites = np.array([s.site for s in samples])
    anew = {}
    for name, values in scores.items():
        weights = even_weights(np.ones(int(val.sum()), np.bool_), sites[val])
        anew[name] = weighted_quantile(values[val], weights, REFUSED_SHARE)
    limits = {
        "gate, as shipped": ("gate", point),
        "gate, share of 0.5": ("gate", 0.5),
        "gate, chosen anew": ("gate", anew["gate"]),
        "distance, chosen anew": ("distance", anew["distance"]),
        "Chester's rule, as published": ("chester", PUBLISHED),
        "Chester's rule, chosen anew": ("chester", anew["chester"]),
    }
    return {
        rule: {
            "threshold": limit,
            "sets": {
                name: counted(samples, scores[score] < limit, name)
                for name in sorted({name_of(s) for s in samples if s.split == "test"})
            },
        }
        for rule, (score, limit) in limits.items()
    }


def counted(samples: list[Kinded], refused: NDArray[np.bool_], name: str) -> dict[str, Any]:
    members = np.array([s.split == "test" and name_of(s) == name for s in samples])
    kind = next(s.kind for s in samples if s.split == "test" and name_of(s) == name)
    return {"kind": kind, "n": int(members.sum()), "refused": int(refused[members].sum())}


def areas(samples: list[Kinded], values: Figures) -> dict[str, str]:
    """AUROC of the trained hospitals' test films against each far set, with its interval."""
    test = np.array([s.split == "test" for s in samples])
    names = np.array([name_of(s) for s in samples])
    chest = np.array([s.kind == CHEST for s in samples])
    near = test & chest & ~np.char.startswith(names, PAKISTAN)
    found = {}
    for name in sorted(set(names[test & ~chest])):
        members = near | (test & (names == name))
        found[name] = words(auroc_interval(chest[members], values[members]))
    return found


def sets_of_kind(samples: list[Kinded], kind: str, values: Figures) -> dict[str, Any]:
    """Return what a model of one ultrasound kind would be shown at a share of one half."""
    test = np.array([s.split == "test" for s in samples])
    own = np.array([s.kind == kind for s in samples]) & test
    found = {"passed": words(share(int((values[own] >= 0.5).sum()), int(own.sum())))}
    for other, members in {
        "chest films": test & np.array([s.kind == CHEST for s in samples]),
        "qc_not_chest": test & np.array([s.site == "qc_not_chest" for s in samples]),
        "other ultrasound": test
        & ~own
        & np.array([s.kind.endswith("ultrasound") for s in samples]),
    }.items():
        refused = int((values[members] < 0.5).sum())
        both = own | members
        found[other] = (
            f"{words(auroc_interval(own[both], values[both]))}; "
            f"{refused} of {int(members.sum())} refused"
        )
    return found


def page(result: dict[str, Any]) -> str:
    """Write docs/kinds.md."""
    rows = result["rules"]
    names = list(rows)
    sets = rows[names[0]]["sets"]
    good = [name for name in sets if sets[name]["kind"] == CHEST]
    far = [name for name in sets if sets[name]["kind"] != CHEST]

    def table(members: list[str]) -> list[str]:
        lines = [f"| set | images | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(names)]
        for name in members:
            n = sets[name]["n"]
            cells = [words(share(rows[r]["sets"][name]["refused"], n)) for r in names]
            lines.append(f"| {name} | {n} | {' | '.join(cells)} |")
        return lines

    def total(rule: str, members: list[str]) -> tuple[int, int]:
        parts = [rows[rule]["sets"][name] for name in members]
        return sum(part["refused"] for part in parts), sum(part["n"] for part in parts)

    known = [name for name in good if not name.startswith(PAKISTAN)]
    lines = [
        "# Pictures of something else",
        "",
        "Written by `bench/kinds.py` from what it measured; nothing here is typed by hand.",
        f"Machine: {result['machine']['cpu']}, {result['machine']['date']}; {result['gate']}.",
        "",
        "A film that is refused is one that nobody needed to refuse; of the far pictures, each",
        "that is not refused would be read. Shares with their 95 % intervals (Wilson).",
        f"*As shipped*: the manifest's operating point ({result['point']:.4f}). *Share of 0.5*:",
        "what the box refuses; between the two it holds the answer back and asks for a person.",
        f"*Chosen anew*: the threshold below which {REFUSED_SHARE:.0%} of the good",
        "validation films lie, every hospital weighted the same. *Chester's rule*: a 64-pixel",
        "autoencoder rebuilds",
        f"the picture with a structural similarity of at least {PUBLISHED:.2f}; built anew here,",
        f"trained on the {result['train_films']} training films for {result['epochs']} epochs,",
        "since its own weights were trained on other films. *Distance*: Mahalanobis, of the",
        "features before the gate's classifier, to the training films. It holds the films of a",
        "hospital that it never saw for far ones, so the box does not use it.",
        "",
        "## In one line",
        "",
        "| rule | threshold | good films refused (hospitals trained on) | far pictures refused |",
        "| --- | --- | --- | --- |",
        *(
            f"| {rule} | {rows[rule]['threshold']:.4g} | {words(share(*total(rule, known)))} |"
            f" {words(share(*total(rule, far)))} |"
            for rule in names
        ),
        "",
        "## AUROC of chest films against each far set",
        "",
        f"| far set | {' | '.join(result['auroc'])} |",
        "| --- |" + " --- |" * len(result["auroc"]),
        *(
            f"| {name} | {' | '.join(found[name] for found in result['auroc'].values())} |"
            for name in far
        ),
        "",
        "## Good films refused",
        "",
        "Photographs of films are a channel of their own (`cxr_tb_pakistan, photographed`): the",
        "gate never saw one in training. The digital films of that hospital were not trained on",
        "either.",
        "",
        *table(good),
        "",
        "## Far pictures refused",
        "",
        *table(far),
        "",
        "## What an ultrasound model would be shown",
        "",
        "At a share of one half of its own kind: own images passed, then AUROC and count of the",
        "others.",
        "",
        "| kind | own passed | chest films | qc_not_chest | other ultrasound |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {kind} | {' | '.join(found.values())} |"
            for kind, found in result["ultrasound"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
