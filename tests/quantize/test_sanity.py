"""Whether the tests of a map tell a good one from a bad one; shortcuts, strata and plots."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
onnx = pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")
pytest.importorskip("sklearn", reason="needs the workbench environment (scikit-learn)")
pytest.importorskip("matplotlib", reason="needs the workbench environment (matplotlib)")

from torch import nn  # noqa: E402

from appliance.manifest import InputSpec, Polarity, Resize  # noqa: E402
from quantize.data import Sample  # noqa: E402
from quantize.decide import Platt  # noqa: E402
from quantize.evaluate import GraphOutputs, Rules, SplitOutputs, graph_outputs  # noqa: E402
from quantize.export import export  # noqa: E402
from quantize.pareto import Point  # noqa: E402
from quantize.phantoms import phantoms  # noqa: E402
from quantize.plots import write_pareto, write_plots  # noqa: E402
from quantize.sanity import (  # noqa: E402
    identity_error,
    lung_area,
    map_correlation,
    map_cost,
    plant,
    pointing_game,
    shuffled_correlation,
)
from quantize.shortcuts import ALL_SITES, border, shortcuts, statistics  # noqa: E402
from quantize.strata import strata  # noqa: E402

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]
SIDE = 96
SPEC = InputSpec(SIDE, 1, Polarity.BONE_BRIGHT, Resize.SQUEEZE, 0.5, 0.25)


class Bright(nn.Module):
    """A network that looks for brightness where it is: its map is the picture, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.pool = nn.AvgPool2d(16)
        self.classifier = nn.Conv2d(8, 1, 1, bias=False)
        self.bias = nn.Parameter(torch.full((1,), 0.25))
        with torch.no_grad():
            self.body.weight.zero_()
            self.body.weight[:, 0, 1, 1] = torch.tensor([4.0, 3.0, 0.1, 0.1, -3.0, -4.0, 0.1, 0.1])
            self.classifier.weight.copy_(
                torch.tensor([1.0, 1, 0, 0, -1, -1, 0, 0])[None, :, None, None]
            )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam = self.classifier(torch.relu(self.pool(self.body(x))))
        return cam.mean(dim=(2, 3)) + self.bias, cam


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    export(Bright(), SIDE, tmp_path / "bright.onnx")
    return tmp_path / "bright.onnx"


def areas(n: int) -> list[np.ndarray]:
    usual = lung_area(Path(), Sample("s", "f", False, "test", "p"), SPEC)
    return [usual] * n


def test_a_map_that_looks_at_opacities_points_at_them(graph: Path) -> None:
    films = list(phantoms(SIDE, 12, 5))
    game = pointing_game(graph, films, areas(12), SPEC)
    assert (game.n, game.hits >= 11) == (12, True)
    assert game.chance == pytest.approx(9 / 36, abs=0.01)  # a map of 6 by 6 cells
    assert pointing_game(graph, [], [], SPEC).n == 0


def test_a_map_that_looks_elsewhere_does_not(graph: Path) -> None:
    model = onnx.load(graph)
    for entry in model.graph.initializer:
        if len(entry.dims) == 4 and entry.dims[0] == 1:  # the classifier now prefers the dark
            values = -onnx.numpy_helper.to_array(entry)
            entry.CopyFrom(onnx.numpy_helper.from_array(values, entry.name))
    onnx.save(model, graph)
    game = pointing_game(graph, list(phantoms(SIDE, 12, 5)), areas(12), SPEC)
    assert game.hits < 0.85 * game.n


def test_an_opacity_is_bright_and_where_it_is_said_to_be() -> None:
    film = phantoms(SIDE, 1, 6)[0]
    planted = plant(film, areas(1)[0], np.random.default_rng(0))
    change = planted.film.astype(int) - film
    assert change.min() >= 0
    assert change.max() > 40
    rows, columns = np.nonzero(change > change.max() / 2)
    assert abs(rows.mean() / SIDE - planted.middle[0]) < 0.08
    assert abs(columns.mean() / SIDE - planted.middle[1]) < 0.08


def test_the_lung_mask_is_used_without_its_rim(tmp_path: Path) -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[50:150, 20:90] = 255
    (tmp_path / "s").mkdir()
    cv2.imwrite(str(tmp_path / "s" / "mask.png"), mask)
    area = lung_area(tmp_path, Sample("s", "f", False, "test", "p", lungmask="mask.png"), SPEC)
    assert 0 < area.sum() < (mask > 0).mean() * SIDE**2
    assert not area[:, SIDE // 2 :].any()


def test_the_map_makes_the_logit_and_shuffling_unmakes_it(graph: Path) -> None:
    films = list(phantoms(SIDE, 6, 7))
    said = graph_outputs(graph, films, SPEC)
    assert identity_error(graph, said) < 1e-5
    assert map_correlation(said, said) == pytest.approx(1)
    apart = GraphOutputs(said.logits + 0.01, said.cams)
    assert identity_error(graph, apart) > 1e-3
    assert shuffled_correlation(graph, films, said, SPEC, all_layers=False) < 0.999
    assert shuffled_correlation(graph, films, said, SPEC, all_layers=True) < 0.9
    assert map_cost(graph, films[0], SPEC) >= 0


def draw(folder: Path, site: str, *, shortcut: bool) -> list[Sample]:
    """Films of noise; with a shortcut, the positives are the brighter ones."""
    rng = np.random.default_rng(8)
    (folder / site).mkdir(parents=True)
    samples = []
    for number in range(120):
        positive, split = number % 2 == 0, "test" if number % 3 == 0 else "train"
        film = rng.normal(150 if positive and shortcut else 90, 30, (50, 50)).clip(0, 255)
        cv2.imwrite(str(folder / site / f"{number}.png"), film.astype(np.uint8))
        samples.append(Sample(site, f"{number}.png", positive, split, str(number)))
    return samples


def test_a_shortcut_is_found_where_there_is_one(tmp_path: Path) -> None:
    with_it, without = (draw(tmp_path, name, shortcut=name == "a") for name in "ab")
    found = {(s.site, s.kind): s.auroc for s in shortcuts(tmp_path, with_it + without, SPEC)}
    assert len(found) == 4
    assert min(v for (site, _), v in found.items() if site == "a") > 0.97
    assert max(v for (site, _), v in found.items() if site == "b") < 0.85


def test_two_hospitals_of_one_class_each_are_a_shortcut(tmp_path: Path) -> None:
    sick = [s for s in draw(tmp_path, "a", shortcut=True) if s.positive]
    well = [s for s in draw(tmp_path, "b", shortcut=False) if not s.positive]
    found = shortcuts(tmp_path, sick + well, SPEC)
    assert {s.site for s in found} == {ALL_SITES}
    assert max(s.auroc for s in found) > 0.97


def test_what_the_models_without_anatomy_see() -> None:
    picture = phantoms(SIDE, 1, 9)[0]
    assert len(statistics(picture)) == 12
    middle = picture.copy()
    middle[20:-20, 20:-20] = 0
    assert border(middle) == border(picture)


def split(n: int) -> SplitOutputs:
    rng = np.random.default_rng(10)
    samples = [
        Sample("s", str(i), i % 2 == 0, "test", str(i), "PA" if i % 3 else "AP", "", "F", 20 + i)
        for i in range(n)
    ]
    logits = rng.normal(0, 1, n) + np.array([s.positive for s in samples])
    return SplitOutputs(samples, GraphOutputs(logits, np.zeros((n, 3, 3), np.float32)))


def test_parts_of_a_split_are_measured() -> None:
    parts = strata([split(60)], Rules(Platt(1, 0), 0.5, 0.4, 0.6))
    names = [part.name for part in parts]
    assert names == ["all", "age 15 to 39", "age 40 to 64", "age 65 and more", "view AP", "view PA"]
    assert parts[0].n_positive + parts[0].n_negative == 60
    assert sum(p.n_positive for p in parts if p.name.startswith("age")) == parts[0].n_positive
    assert 0 < parts[0].brier < 0.5


def test_curves_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    rules = Rules(Platt(1, 0), 0.5, 0.4, 0.6)
    names = write_plots([split(60)], rules, tmp_path)
    assert names == ("roc.svg", "reliability.svg")
    first = [(tmp_path / name).read_bytes() for name in names]
    write_plots([split(60)], rules, tmp_path)
    assert first == [(tmp_path / name).read_bytes() for name in names]
    assert b"#0b6e75" in first[0].lower()
    assert b"n = 60" in first[1]
    assert max(len(drawn) for drawn in first) < 60_000
    one_class = SplitOutputs([s for s in split(60).samples if s.positive], split(60).cpu)
    assert write_plots([one_class], rules, tmp_path) == ()
    write_pareto([Point(0.0, 0.95, 0.0, 3.5, 4_000_000), Point(0.3, 0.94, 0.01, 2, 2_000_000)],
                 tmp_path / "pareto.svg")  # fmt: skip
    assert b"30% cut, 2.0 MB" in (tmp_path / "pareto.svg").read_bytes()
