"""Other bodies behind Lite0's head; timm's run in `make test-backbones` only."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the workbench environment (torch)")
pytest.importorskip("onnx", reason="needs the workbench environment (onnx)")

from quantize.backbones import (  # noqa: E402
    BACKBONES,
    BackboneError,
    at_scale,
    backbone,
    build,
    published_weights_path,
)
from quantize.evaluate import open_graph  # noqa: E402
from quantize.export import export  # noqa: E402
from quantize.int8 import quantize_both  # noqa: E402
from quantize.network import Lite, Lite0  # noqa: E402
from quantize.phantoms import golden_phantoms, phantoms  # noqa: E402
from quantize.tensorrt_contract import check_graph  # noqa: E402

pytestmark = [pytest.mark.workbench, pytest.mark.filterwarnings("default")]
LITES = [name for name, plan in BACKBONES.items() if not isinstance(plan.source, str)]
TIMM = [name for name in BACKBONES if name not in LITES]
SIDE = {"inception_v3": 128, "mobilenetv3": 128}  # of others 64
MAP_CHANGE = {"mobilenetv3": 0.3}  # of the map's size; its gates multiply what eight bits lost


@pytest.fixture(autouse=True)
def same_every_time() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def needs_timm() -> None:
    pytest.importorskip("torchvision", reason="needs timm's environment (torchvision)")
    pytest.importorskip("timm", reason="needs timm's environment (timm)")


def inputs(images: np.ndarray) -> np.ndarray:
    return ((images.astype(np.float32) / 255 - 0.5) / 0.25)[:, None, None]


def check_identity(name: str, side: int) -> None:
    network = build(name, 2, side_px=side).eval()
    torch.nn.init.normal_(network.bias)
    with torch.inference_mode():
        logits, cam = network(torch.randn(2, 1, side, side))
    assert logits.shape == (2, 2)
    assert cam.shape[:2] == (2, 2)
    assert cam.shape[2] == cam.shape[3] > 1
    assert torch.allclose(cam.mean(dim=(2, 3)) + network.bias, logits, atol=1e-5)


def outputs(path: Path, films: np.ndarray, *, optimize: bool = True) -> tuple[np.ndarray, ...]:
    session = open_graph(path, optimize=optimize, threads=1)
    rows = [session.run(["logits", "cam"], {"image": film}) for film in films]
    return np.array([row[0][0, 0] for row in rows]), np.stack([row[1][0, 0] for row in rows])


def check_graphs(name: str, side: int, folder: Path) -> None:
    plan, network = backbone(name), build(name, 1, side_px=side)
    ranges, films = inputs(phantoms(side, 8, seed=1)), inputs(golden_phantoms(side))
    at_scale(network, torch.from_numpy(ranges[:, 0]))
    fp32, cpu, tensorrt = (folder / f"{form}.onnx" for form in ("fp32", "cpu", "tensorrt"))
    export(network, side, fp32)
    quantize_both(
        fp32,
        (cpu, tensorrt),
        list(ranges),
        fp32_convolutions=plan.fp32_convolutions,
        also=plan.also,
        leave_out=plan.leave_out,
    )
    with torch.inference_mode():
        by_torch = network(torch.from_numpy(films[:, 0]))[0][:, 0].numpy()
    logits, maps = outputs(fp32, films)
    assert by_torch == pytest.approx(logits, abs=1e-3)
    size = np.sqrt(np.square(maps).mean())
    for path, optimize in ((cpu, True), (tensorrt, False)):
        logits_here, maps_here = outputs(path, films, optimize=optimize)
        allowed = MAP_CHANGE.get(name, 0.1)
        assert np.sqrt(np.square(maps_here - maps).mean()) < allowed * size
        largest = max(1.0, float(np.abs(logits).max()))
        assert logits_here == pytest.approx(logits, abs=allowed * largest)
        assert path.stat().st_size < 0.35 * fp32.stat().st_size


@pytest.mark.parametrize("name", LITES)
def test_the_map_is_what_the_logit_is_made_of(name: str) -> None:
    check_identity(name, 64)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", LITES)
def test_eight_bits_say_what_the_network_says(name: str, tmp_path: Path) -> None:
    check_graphs(name, 96, tmp_path)
    assert check_graph(tmp_path / "tensorrt.onnx") == []


@pytest.mark.parametrize("name", TIMM)
def test_the_map_of_a_body_of_timm_is_what_the_logit_is_made_of(name: str) -> None:
    needs_timm()
    check_identity(name, SIDE.get(name, 64))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TIMM)
def test_eight_bits_of_a_body_of_timm_say_what_it_says(name: str, tmp_path: Path) -> None:
    needs_timm()
    check_graphs(name, SIDE.get(name, 64), tmp_path)


def test_lite0_is_the_network_of_the_packages() -> None:
    network = build("efficientnet_lite0", 1)
    assert isinstance(network, Lite0)
    assert list(network.state_dict()) == list(Lite0(1, dropout=0.1).state_dict())


@pytest.mark.parametrize("name", LITES)
def test_the_published_weights_are_all_used(name: str) -> None:
    pytest.importorskip(backbone(name).weights[0], reason="needs the published weights")
    network = build(name, 1, pretrained=True)
    assert isinstance(network, Lite)
    published = torch.load(published_weights_path(name), map_location="cpu", weights_only=True)
    ours = {key: value for key, value in network.state_dict().items() if "classifier" not in key}
    assert len(ours) - 1 == len([key for key in published if not key.startswith("_fc")])  # - bias


@pytest.mark.parametrize("name", LITES)
def test_the_network_is_the_published_one(name: str) -> None:
    package = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch"
    )
    pytest.importorskip(backbone(name).weights[0], reason="needs the published weights")
    # At 225 each stride meets an odd side, where TensorFlow pads as we do.
    theirs = package.EfficientNet.from_name(name.replace("_", "-"), image_size=225).eval()
    path = published_weights_path(name)
    theirs.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    ours = build(name, 1, pretrained=True).eval()
    film = torch.randn(1, 1, 225, 225)
    with torch.inference_mode():
        expected = theirs.extract_features(film.expand(-1, 3, -1, -1))
        assert torch.allclose(ours.features(film), expected, atol=1e-4)


def test_what_cannot_be_had_says_what_to_do() -> None:
    with pytest.raises(BackboneError, match=r"'resnet1' is no backbone; there are: .*resnet18"):
        build("resnet1", 1)
    with pytest.raises(BackboneError, match="no weights that come in a package"):
        build("vgg16", 1, pretrained=True)
    with pytest.raises(BackboneError, match="whole patches"):
        build("vit_small", 1, side_px=100)


def test_without_timm_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BackboneError, match="make backbones"):
        build("resnet18", 1)
