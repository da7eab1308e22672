"""Measures what the gates ask for, on the films of the sites that were trained on.

Flips, changes, maps and scores are counted over the pooled test splits of these sites; the
calibration error over their validation and test splits, since the validation films alone are too
few for the error to mean much; shortcuts site by site. `quantize.gates` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quantize import gates, sanity
from quantize.data import labels, read_site
from quantize.evaluate import GraphOutputs, SplitOutputs, graph_logits, graph_outputs
from quantize.films import read_shown
from quantize.metrics import auroc, calibration_error, chance_calibration_error, even_weights
from quantize.phantoms import golden_phantoms
from quantize.remeasure import graphs_of, outputs_of, rules_of, sites_of, splits_of
from quantize.shortcuts import ALL_SITES, shortcuts
from quantize.tensorrt_contract import check_graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import InputSpec, ModelManifest
    from quantize.data import Sample
    from quantize.evaluate import Graphs, Rules
    from quantize.gates import Gate
    from quantize.shortcuts import Shortcut

_SHUFFLED_FILMS = 40
_PLANTED_FILMS = 100  # of each site, the most confident first
# Logits. The first two are the same sums in another order; eight bits may move a phantom, which is
# no film, by what they may move a film twice over.
_PARITY_EXPORT = 1e-3
_PARITY_INT8 = 0.5


@dataclass(frozen=True, slots=True)
class Subject:
    """A finished network before its judges.

    Parameters
    ----------
    data
        Folder of the data sets.
    trained
        Names of the sites that were trained on.
    outputs
        What its graphs say of every split that was measured.
    torch_logits
        What the network itself says of the golden vectors; None where torch is not at hand.
    """

    graphs: Graphs
    input: InputSpec
    rules: Rules
    data: Path
    trained: tuple[str, ...]
    outputs: Sequence[SplitOutputs]
    torch_logits: NDArray[np.float64] | None = None

    def pool(self, split: str) -> SplitOutputs:
        """One split of all sites that were trained on, put together."""
        parts = [
            part
            for part in self.outputs
            if part.samples[0].split == split and part.samples[0].site in self.trained
        ]
        return SplitOutputs(
            samples=[sample for part in parts for sample in part.samples],
            cpu=_joined([part.cpu for part in parts]),
            fp32=_joined([part.fp32 for part in parts]),
            tensorrt=_joined([part.tensorrt for part in parts]),
        )

    def images(self, samples: Sequence[Sample]) -> list[NDArray[np.uint8]]:
        """Decode films as the network is shown them, grey uint8 of their own sizes."""
        return read_shown(self.data, samples, self.input)


def _joined(parts: Sequence[GraphOutputs | None]) -> GraphOutputs | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    logits = np.concatenate([part.logits for part in known])
    return GraphOutputs(logits, np.concatenate([part.cams for part in known]))


def judge_data(found: Sequence[Shortcut]) -> list[Gate]:
    """Judge the data alone, before any time is spent on training."""
    return [gates.shortcut_in_data(s.site, s.kind, s.auroc) for s in found]


def judge(subject: Subject, found: Sequence[Shortcut]) -> list[Gate]:
    """Hold a network against every gate whose figure can be had."""
    test = subject.pool("test")
    return [
        *_damage(subject, test),
        *_maps(subject, test),
        _calibration(subject),
        gates.distinct_scores(len(set(test.cpu.logits.tolist())), len(test.samples)),
        *_parity(subject),
        *_lead(test, found),
    ]


def judge_package(
    manifest: ModelManifest, data: Path, reference: Path | None, uncut: Path | None = None
) -> list[Gate]:
    """Hold a finished package against the gates (torch is not needed, nor compared with).

    Parameters
    ----------
    reference
        The FP32 graph of the run; without it the gates on the damage of eight bits are left out.
    uncut
        The FP32 graph before channels were cut: the loss is then counted from there.
    """
    trained = tuple(entry.name for entry in manifest.data if entry.use != "measured only")
    outputs = [
        outputs_of(manifest, samples, data, reference)
        for samples in splits_of(manifest, data, trained)
    ]
    subject = Subject(
        graphs=replace(graphs_of(manifest, reference), uncut=uncut),
        input=manifest.input,
        rules=rules_of(manifest),
        data=data,
        trained=trained,
        outputs=outputs,
    )
    samples = [s for name in trained for s in read_site(data, sites_of(manifest)[name].spec)]
    found = shortcuts(data, samples, manifest.input)
    return [*judge_data(found), *judge(subject, found)]


def judge_eight_bits(said: SplitOutputs, rules: Rules, room: float = 1.0) -> list[Gate]:
    """Judge what eight bits did to decisions and probabilities, and what the engine does.

    Parameters
    ----------
    room
        Share of what the gates allow that may be used up.
    """
    verdicts = []
    probabilities = rules.platt(said.cpu.logits)
    decided = probabilities >= rules.threshold
    if said.fp32 is not None:
        in_float = rules.platt(said.fp32.logits)
        turned = decided != (in_float >= rules.threshold)
        verdicts += [
            gates.flips(int(turned.sum()), turned.size, room),
            gates.probability_change(float(np.abs(probabilities - in_float).mean()), room),
        ]
    if said.tensorrt is not None:
        turned = decided != (rules.platt(said.tensorrt.logits) >= rules.threshold)
        verdicts.append(gates.tensorrt_flips(int(turned.sum()), turned.size, room))
    return verdicts


def _damage(subject: Subject, test: SplitOutputs) -> list[Gate]:
    verdicts = []
    if test.fp32 is not None:
        uncut = subject.graphs.uncut
        reference = test.fp32.logits
        if uncut is not None:
            reference = graph_logits(uncut, subject.images(test.samples), subject.input)
        loss = _auroc_loss(test.samples, test.cpu.logits, reference)
        verdicts.append(gates.auroc_loss(loss, pruned=uncut is not None))
    verdicts += judge_eight_bits(test, subject.rules)
    if subject.graphs.tensorrt is not None:
        verdicts.append(gates.tensorrt_contract(check_graph(subject.graphs.tensorrt)))
    return verdicts


def _auroc_loss(samples: Sequence[Sample], scores: np.ndarray, reference: np.ndarray) -> float:
    """Mean over the sites, each weighted with its films."""
    truth, sites = labels(samples), np.array([s.site for s in samples])
    groups = [sites == site for site in np.unique(sites)]
    groups = [group for group in groups if 0 < truth[group].sum() < group.sum()]
    losses = [auroc(truth[g], reference[g]) - auroc(truth[g], scores[g]) for g in groups]
    return float(np.average(losses, weights=[g.sum() for g in groups]))


def _maps(subject: Subject, test: SplitOutputs) -> list[Gate]:
    graph, spec = subject.graphs.cpu, subject.input
    verdicts = []
    if test.fp32 is not None:
        verdicts.append(gates.map_agreement(sanity.map_correlation(test.cpu, test.fp32)))
    verdicts.append(gates.map_identity(sanity.identity_error(graph, test.cpu)))
    drawn = np.random.default_rng(0).permutation(len(test.samples))[:_SHUFFLED_FILMS]
    films = subject.images([test.samples[i] for i in drawn])
    verdicts.append(gates.map_cost(sanity.map_cost(graph, films[0], spec)))
    some = GraphOutputs(test.cpu.logits[drawn], test.cpu.cams[drawn])
    for what, all_layers in (("the classifier", False), ("all layers", True)):
        found = sanity.shuffled_correlation(graph, films, some, spec, all_layers=all_layers)
        verdicts.append(gates.map_randomized(what, found))
    return [*verdicts, _planted(subject, test)]


def _planted(subject: Subject, test: SplitOutputs) -> Gate:
    """Plant opacities into the films without the disease of which the network is surest."""
    clear = _clear_films(subject, test)
    areas = [sanity.lung_area(subject.data, s, subject.input) for s in clear]
    films = subject.images(clear)
    game = sanity.pointing_game(subject.graphs.cpu, films, areas, subject.input)
    return gates.planted_lesions(game.hits, game.n, game.chance)


def _clear_films(subject: Subject, test: SplitOutputs) -> list[Sample]:
    sure = subject.rules.platt(test.cpu.logits) <= subject.rules.lower
    order = np.argsort(test.cpu.logits, kind="stable")
    clear = [test.samples[i] for i in order if sure[i] and not test.samples[i].positive]
    sites = dict.fromkeys(s.site for s in clear)
    return [s for site in sites for s in [c for c in clear if c.site == site][:_PLANTED_FILMS]]


def _calibration(subject: Subject) -> Gate:
    parts = [subject.pool(split) for split in ("val", "test")]
    samples = [sample for part in parts for sample in part.samples]
    truth = labels(samples)
    probabilities = subject.rules.platt(np.concatenate([part.cpu.logits for part in parts]))
    weights = even_weights(truth, np.array([s.site for s in samples]))
    error = calibration_error(truth, probabilities, weights)
    return gates.calibration(error, chance_calibration_error(probabilities, weights))


def _parity(subject: Subject) -> list[Gate]:
    """Hold the forms of the network against each other on pictures that code draws."""
    films, graphs = list(golden_phantoms(subject.input.side_px)), subject.graphs
    cpu = graph_logits(graphs.cpu, films, subject.input)
    verdicts = []
    if graphs.fp32 is not None:
        fp32 = graph_logits(graphs.fp32, films, subject.input)
        if subject.torch_logits is not None:
            apart = float(np.abs(subject.torch_logits - fp32).max())
            verdicts.append(gates.parity("torch and the FP32 graph", apart, _PARITY_EXPORT))
        apart = float(np.abs(fp32 - cpu).max())
        verdicts.append(gates.parity("the FP32 and the CPU graph", apart, _PARITY_INT8))
    if graphs.tensorrt is not None:
        tensorrt = graph_outputs(graphs.tensorrt, films, subject.input, optimize=False).logits
        apart = float(np.abs(tensorrt - cpu).max())
        verdicts.append(gates.parity("the TensorRT and the CPU graph", apart, _PARITY_INT8))
    return verdicts


def _lead(test: SplitOutputs, found: Sequence[Shortcut]) -> list[Gate]:
    truth, sites = labels(test.samples), np.array([s.site for s in test.samples])
    verdicts = []
    for shortcut in found:
        here = (sites == shortcut.site) | (shortcut.site == ALL_SITES)
        network = auroc(truth[here], test.cpu.logits[here])
        verdicts.append(
            gates.shortcut_margin(shortcut.site, shortcut.kind, shortcut.auroc, network)
        )
    return verdicts
