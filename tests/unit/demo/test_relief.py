"""How water runs over the made-up ground."""

from __future__ import annotations

import numpy as np

from terramosaic.demo import relief


def test_water_gathers_downstream() -> None:
    # Cells 0 and 1 drain to 2, 2 to 3, 3 to 4, where the water stays; 5 stands alone.
    assert relief._drainage(np.array([2, 2, 3, 4, 4, 5])).tolist() == [1, 1, 3, 4, 5, 1]


def test_water_takes_the_steepest_way_down() -> None:
    receiver, drop = relief._receivers(np.array([[3.0, 2.0, 9.0], [4.0, 1.0, 5.0], [2.5, 6.0, 0.0]]))
    assert receiver.tolist() == [4, 4, 1, 4, 8, 8, 4, 8, 8]
    assert drop[0, 0] == 2.0
    assert drop[2, 2] == 0.0
