"""Maps of white lines: a background that falls with the energy, and a figure whose texts stay apart."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.white_line_maps import WhiteLineOptions, white_line_maps
from oxytomo.results.line_records import ElementLineMaps
from oxytomo.view.oxidation_figures import line_maps

ENERGY_EV = np.concatenate(
    [np.arange(700.0, 706.0, 0.5), np.arange(706.0, 712.0, 0.2), np.arange(727.0, 731.0)]
)
FACTS = {
    "stack_energy_ev": ENERGY_EV.tolist(),
    "window_ev": (704.8, 716.8),
    "pre_edge_ev": (690.0, 705.6),
    "post_edge_ev": (726.9, 760.0),
}
OPTIONS = WhiteLineOptions(
    element="Fe", white_line_half_width_ev=2.0, white_line_order=4, thick_od=2.5, thin_sigma=5.0
)


def remarks(stray: float) -> list[str]:
    """Pixels of 0.1 to 1.6 of the element on a support of the same OD everywhere, with stray light."""
    line = np.exp(-(((ENERGY_EV - 709.0) / 1.2) ** 2)) + 0.12 / (1 + np.exp(-2 * (ENERGY_EV - 708.0)))
    amount = np.linspace(0.1, 1.6, 24 * 24).reshape(24, 24)
    support = 0.4 * (700 / ENERGY_EV) ** 3
    od = support[:, None, None] + line[:, None, None] * amount
    od = -np.log((np.exp(-od) + stray) / (1 + stray)).astype(np.float32)
    n = ENERGY_EV.size
    stack = EnergyStack(
        od, np.full_like(od, 1e-6), ENERGY_EV, np.zeros(n, bool), np.ones(n), 80.0, 24
    )  # fmt: skip
    return white_line_maps(stack, FACTS, OPTIONS)[2]


def test_absorption_of_a_support_is_no_flattening() -> None:
    """Taken as constant, the support hid a third of the edge jump of thin pixels, and a warning came of it."""
    assert not [line for line in remarks(0.0) if "smaller in thick" in line]
    assert [line for line in remarks(0.1) if "smaller in thick" in line]


@pytest.mark.parametrize("shape", [(150, 150), (60, 150), (150, 60)])
def test_texts_of_maps_stay_apart(shape: tuple[int, int]) -> None:
    """Titles once ran into the arrow of the axis."""
    image = np.random.default_rng(0).normal(708, 1, shape).astype(np.float32)
    both = dict.fromkeys(("white_line", "edge"), image)
    figure = line_maps(ElementLineMaps("Fe", 80.0, both, both, {}, pd.DataFrame()))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        texts = [axes.title, axes._left_title, axes._right_title, *axes.texts]
        boxes = [one.get_window_extent(canvas.get_renderer()) for one in texts if one.get_text()]
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
