"""What a model must pass before it is packaged; there is no way around it.

Each gate is a pure function of what was measured: it says passed or refused, and one sentence why.
A figure that is not a number is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AUROC_LOSS = 0.005  # eight bits against the network that was trained
AUROC_LOSS_PRUNED = 0.01  # the same, where channels were cut in between
FLIPS = 0.01
PROBABILITY_CHANGE = 0.02
MAP_CORRELATION = 0.98
MAP_IDENTITY = 1e-5
MAP_COST = 0.05
MAP_RANDOMIZED = 0.3
PLANTED_HITS = 0.85
CALIBRATION_ERROR = 0.05
DISTINCT = 0.95
SHORTCUT_AUROC = 0.97
SHORTCUT_MARGIN = 0.03


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer."""

    name: str
    passed: bool
    sentence: str


class GateError(Exception):
    """The model is refused; the text says which gates refused it and why."""


def require(gates: Sequence[Gate]) -> None:
    """Let nothing through that a gate refused.

    Raises
    ------
    GateError
        With the sentences of all gates that refused.
    """
    refused = [gate for gate in gates if not gate.passed]
    if refused:
        reasons = "\n".join(f"- {gate.name}: {gate.sentence}" for gate in refused)
        raise GateError(f"{len(refused)} of {len(gates)} gates refuse this model:\n{reasons}")


def auroc_loss(loss: float, *, pruned: bool) -> Gate:
    """Gate what all savings together cost, from the trained network to the shipped graph."""
    limit = AUROC_LOSS_PRUNED if pruned else AUROC_LOSS
    sentence = f"the shipped graph loses {loss:.4f} of AUROC, at most {limit:g} is allowed"
    return Gate("AUROC loss", loss <= limit, sentence)


def flips(count: int, n: int, room: float = 1.0) -> Gate:
    """Gate how many decisions eight bits turned over; `room` is the share of the limit to keep."""
    return _share_at_most("flipped decisions", "eight bits turn", count, n, room * FLIPS)


def tensorrt_flips(count: int, n: int, room: float = 1.0) -> Gate:
    """Gate how many decisions depend on the engine; `room` as in `flips`."""
    return _share_at_most(
        "flips between engines", "the TensorRT graph turns", count, n, room * FLIPS
    )


def _share_at_most(name: str, subject: str, count: int, n: int, limit: float) -> Gate:
    sentence = f"{subject} {count} of {n} decisions, at most {limit:.1%} is allowed"
    return Gate(name, n > 0 and count <= limit * n, sentence)


def probability_change(mean: float, room: float = 1.0) -> Gate:
    """Gate how far eight bits move a probability; `room` as in `flips`."""
    limit = room * PROBABILITY_CHANGE
    sentence = f"eight bits move the probability by {mean:.4f} in the mean"
    sentence += f", at most {limit:g} is allowed"
    return Gate("mean change of probability", mean <= limit, sentence)


def map_agreement(correlation: float) -> Gate:
    """Gate whether the INT8 graph looks where the network looks."""
    sentence = f"the INT8 heat maps correlate with the network's by {correlation:.4f} in the mean"
    sentence += f", at least {MAP_CORRELATION:g} is asked"
    return Gate("heat map against FP32", correlation >= MAP_CORRELATION, sentence)


def map_identity(largest: float) -> Gate:
    """Gate whether the map is what the logit is made of, relative to the logit."""
    sentence = f"the mean of the heat map and the logit differ by up to {largest:.1e}"
    sentence += f", at most {MAP_IDENTITY:.0e} is allowed"
    return Gate("heat map makes the logit", largest <= MAP_IDENTITY, sentence)


def map_cost(share: float) -> Gate:
    """Gate what the map costs in time, as a share of the time without it."""
    sentence = f"the heat map costs {share:.1%} of the time, at most {MAP_COST:.0%} is allowed"
    return Gate("cost of the heat map", share <= MAP_COST, sentence)


def map_randomized(what: str, correlation: float) -> Gate:
    """Gate whether the map comes from what was learnt (Adebayo and others, NeurIPS 2018)."""
    sentence = f"with the weights of {what} shuffled the heat maps still correlate by"
    sentence += f" {correlation:.3f}, below {MAP_RANDOMIZED:g} is asked"
    return Gate(f"heat map with {what} shuffled", abs(correlation) < MAP_RANDOMIZED, sentence)


def planted_lesions(hits: int, n: int, chance: float) -> Gate:
    """Gate whether the map points at an opacity that was planted into a clear film."""
    sentence = f"the heat map points at {hits} of {n} planted opacities"
    sentence += f", at least {PLANTED_HITS:.0%} is asked (blind pointing would hit {chance:.0%})"
    return Gate("planted opacities", n > 0 and hits >= PLANTED_HITS * n, sentence)


def calibration(error: float, chance: float) -> Gate:
    """Gate the expected calibration error on the films that were not trained on.

    Parameters
    ----------
    chance
        What a perfectly calibrated model stays below in 95 of 100 such splits. It widens nothing;
        it tells the reader whether more films are needed before the figure means much.
    """
    sentence = f"the expected calibration error on validation and test films is {error:.3f}"
    sentence += f", at most {CALIBRATION_ERROR:g} is allowed"
    if chance > CALIBRATION_ERROR:
        sentence += f" (on films so few chance alone makes up to {chance:.3f}: use more)"
    return Gate("calibration", error <= CALIBRATION_ERROR, sentence)


def distinct_scores(distinct: int, n: int) -> Gate:
    """Gate whether scores collapsed onto a few values."""
    sentence = f"{n} films have {distinct} distinct scores, at least {DISTINCT:.0%} is asked"
    return Gate("distinct scores", n > 0 and distinct >= DISTINCT * n, sentence)


def parity(what: str, largest: float, allowed: float) -> Gate:
    """Gate how far two forms of the network are apart on the golden vectors, in logits."""
    sentence = f"{what} differ by up to {largest:.4f} on the golden vectors"
    sentence += f", at most {allowed:g} is allowed"
    return Gate(f"parity of {what}", largest <= allowed, sentence)


def shortcut_in_data(site: str, kind: str, auroc: float) -> Gate:
    """Gate, before any training, whether a site's classes can be told without the chest."""
    sentence = f"from {kind} the classes of {site} can be told with an AUROC of {auroc:.3f}"
    sentence += f", without the chest: {SHORTCUT_AUROC:g} and more is refused"
    return Gate(f"shortcut in {site}: {kind}", auroc < SHORTCUT_AUROC, sentence)


def shortcut_margin(site: str, kind: str, shortcut: float, network: float) -> Gate:
    """Gate, after training, whether the network does clearly better than without the chest."""
    margin = network - shortcut
    sentence = f"on {site} the network reaches {network:.3f}, {kind} without it {shortcut:.3f}"
    sentence += f", a lead of {margin:.3f} where {SHORTCUT_MARGIN:g} is asked"
    return Gate(f"lead over a shortcut on {site}: {kind}", margin >= SHORTCUT_MARGIN, sentence)


def tensorrt_contract(violations: Sequence[object]) -> Gate:
    """Gate whether the TensorRT graph keeps to what TensorRT takes."""
    sentence = "the TensorRT graph keeps to the rules of TensorRT's parser and builder"
    if violations:
        sentence = f"the TensorRT graph breaks {len(violations)} rules, the first: {violations[0]}"
    return Gate("TensorRT's rules", not violations, sentence)
