"""What the products of ``register_branches`` have to be: worked out on whole arrays, and from the phantom."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import (
    binary_fill_holes,
    distance_transform_edt,
    map_coordinates,
)
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from test_branches_stage import COARSE, COARSE_NM, FINE, FINE_NM, NEAR_NM

from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.simulate.voids import Scene, VoidPhantom

PLACEMENTS = 60
TURN = Rotation.from_rotvec([1.3, -0.9, 1.7]).as_matrix()
"""That of the structure, about the middle of its volume."""
MIDDLE_NM = (COARSE - 1) / 2 * COARSE_NM
MATRIX = np.column_stack([TURN.T, MIDDLE_NM - TURN.T @ np.full(3, (FINE - 1) / 2 * FINE_NM)])


@dataclass(frozen=True)
class Case:
    """Products and inputs as whole arrays, and what the phantom knows."""

    facts: dict[str, Any]
    distances: dict[tuple[str, str], dict[str, str]]
    beside: list[dict[str, str]]
    composition: dict[str, np.ndarray]
    structure: dict[str, np.ndarray]
    placed: dict[str, np.ndarray]
    shown: Scene
    truth: VoidPhantom
    depth: np.ndarray
    levels: np.ndarray
    features: dict[str, np.ndarray]

    def members(self, name: str, phases: str = "phases") -> np.ndarray:
        """Voxels of a class in the particle of both branches."""
        return (self.composition[phases] == CLASS_LABELS[name]) & (self.levels >= 0)

    def beside_void(self) -> np.ndarray:
        """Number of the nearest void, of voxels outside voids and within reach."""
        numbers = self.placed["instances"]
        away, place = distance_transform_edt(numbers == 0, return_indices=True)
        near = (numbers == 0) & (away * COARSE_NM <= NEAR_NM) & (self.levels >= 0)
        return np.where(near, numbers[tuple(place)], 0)


def depth_of(solid: np.ndarray) -> np.ndarray:
    """Depth of voxel centres below the skin in nm: the skin is half a voxel before the next centre outside."""
    return np.where(solid, (distance_transform_edt(binary_fill_holes(solid)) - 0.5) * COARSE_NM, np.nan)


def levels_of(depth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Layers of one voxel; from the centre outwards, layers of fewer than 30 voxels join the next ones."""
    layer = np.where(inside, np.floor(np.nan_to_num(depth) / COARSE_NM), -1).astype(int)
    found, group = np.full(depth.shape, -1), []
    number = 0
    for one in range(layer.max(), -1, -1):
        group.append(one)
        own = np.isin(layer, group)
        if own.sum() >= 30:
            found[own] = number
            number, group = number + 1, []
    found[np.isin(layer, group)] = number - 1
    return found


def away_from(mask: np.ndarray) -> np.ndarray:
    return distance_transform_edt(~mask) * COARSE_NM


@dataclass(frozen=True)
class Compared:
    """Both densities at the voxel size of the composition, both about their centres of mass."""

    places: np.ndarray
    values: np.ndarray
    ring: np.ndarray
    moving: np.ndarray
    centre: np.ndarray

    def sampled(self, turn: np.ndarray, shift: np.ndarray, mirror: bool) -> np.ndarray:
        place = self.places @ turn.T + shift
        if mirror:
            place = place * [-1, 1, 1]
        index = place / FINE_NM + self.centre
        return map_coordinates(self.moving, index.T, order=1, mode="constant")

    def correlation(self, turn: np.ndarray, shift: np.ndarray, mirror: bool = False) -> float:
        return float(np.corrcoef(self.values, self.sampled(turn, shift, mirror))[0, 1])

    def likeness(self, turn: np.ndarray, shift: np.ndarray, mirror: bool = False) -> float:
        """Correlation of both less the mean of every ring."""
        parts = []
        for values in (self.values, self.sampled(turn, shift, mirror)):
            mean = np.bincount(self.ring, values) / np.maximum(np.bincount(self.ring), 1)
            parts.append(values - mean[self.ring])
        return float(parts[0] @ parts[1] / np.linalg.norm(parts[0]) / np.linalg.norm(parts[1]))

    def thinned(self, count: int) -> "Compared":
        chosen = np.random.default_rng(77).choice(len(self.values), count, replace=False)
        return Compared(self.places[chosen], self.values[chosen], self.ring[chosen], self.moving, self.centre)


def best_elsewhere(compared: Compared, *, mirror: bool) -> float:
    """Largest likeness of the mirror image, or of an orientation more than 15° from the true one."""
    few = compared.thinned(2500)
    turns = Rotation.random(1500, random_state=3).as_matrix()
    if not mirror:
        turns = turns[[Rotation.from_matrix(one @ TURN.T).magnitude() > np.deg2rad(15) for one in turns]]
    scores = np.array([few.likeness(one, np.zeros(3), mirror) for one in turns])
    found = []
    for index in np.argsort(-scores)[:6]:

        def cost(step: np.ndarray, start: np.ndarray = turns[index]) -> float:
            turn = Rotation.from_rotvec(step[:3]).as_matrix() @ start
            return -few.correlation(turn, 100 * step[3:], mirror)

        step = minimize(cost, np.zeros(6), method="Powell", options={"maxiter": 4, "xtol": 1e-2}).x
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ turns[index]
        if mirror or Rotation.from_matrix(turn @ TURN.T).magnitude() > np.deg2rad(15):
            found.append(compared.likeness(turn, 100 * step[3:], mirror))
    return max(found)


@dataclass(frozen=True)
class ByHand:
    value: float
    expected: float
    low: float
    high: float
    p_value: float


def level_means(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    known = (levels >= 0) & np.isfinite(values)
    found = np.full(values.shape, np.nan)
    for level in range(levels.max() + 1):
        found[levels == level] = values[known & (levels == level)].mean()
    return found


def by_hand(case: Case, values: np.ndarray, member: np.ndarray) -> ByHand:
    """Mean, that of voxels as deep, and what the pattern has when it is turned about the particle's centre."""
    means = level_means(values, case.levels)
    member = member & np.isfinite(values - means)
    excess, index = values - means, np.argwhere(member)
    centre = np.argwhere(case.levels >= 0).mean(axis=0)
    turned = []
    for turn in Rotation.random(PLACEMENTS, random_state=np.random.default_rng(0)).as_matrix():
        place = np.rint((index - centre) @ turn.T + centre).astype(int)
        place = place[((place >= 0) & (place < COARSE)).all(axis=1)]
        own = excess[tuple(place.T)]
        if np.isfinite(own).any():
            turned.append(np.nanmean(own))
    value, expected = values[member].mean(), means[member].mean()
    low, high = expected + np.quantile(turned, [0.025, 0.975])
    beyond = (np.abs(turned) >= abs(value - expected)).sum()
    return ByHand(value, expected, low, high, (1 + beyond) / (1 + len(turned)))


def planted(case: Case) -> np.ndarray:
    """Where the composition was made oxygen-poor: within 60 nm of a pore."""
    place = np.moveaxis(np.indices((COARSE,) * 3), 0, -1)
    found = np.zeros((COARSE,) * 3, bool)
    for pore in case.shown.pores:
        radius = pore.half_axes_px.mean() * COARSE_NM
        found |= np.linalg.norm(place - pore.centre_px, axis=-1) * COARSE_NM < radius + NEAR_NM
    return found & (case.truth.envelope > 0.5)


def touched(case: Case, number: int) -> np.ndarray:
    """Voxels of the particle, cubes, that a crack touches; ``number`` from 0."""
    crack = case.shown.cracks[number]
    place = np.moveaxis(np.indices((COARSE,) * 3), 0, -1) - crack.centre_px
    height = place @ crack.normal
    radius = np.linalg.norm(place - height[..., None] * crack.normal, axis=-1)
    reach = crack.aperture_px / 2 + np.abs(crack.normal).sum() / 2
    return (np.abs(height) <= reach) & (radius <= crack.radius_px + 0.5) & (case.truth.envelope > 0.5)
