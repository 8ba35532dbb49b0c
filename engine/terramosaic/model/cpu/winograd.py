"""Winograd's minimal filtering for 3 x 3 convolutions, written as plain matrix products.

A 3-tap filter over 4 outputs needs 6 multiplications instead of 12: F(4, 3). In two dimensions that is 36 instead of
144 for a tile of 4 x 4 outputs. With one dimension, signal d of 6 values and filter g of 3:

    4 outputs = Aᵀ [(G g) * (Bᵀ d)]

Tiles overlap by 2. Cutting a row into its tiles and multiplying each by Bᵀ is itself one matrix: the zeros around the
image, and doubling it by nearest neighbour before the convolution, are in it and cost nothing.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (https://arxiv.org/abs/1509.09308), 4.3.
"""

from __future__ import annotations

import numpy as np

#: Outputs of a tile, and the values it needs, along one dimension.
TILE, TAPS = 4, 6

_B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    float,
)
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    float,
)
_A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float)


def into_tiles(length: int, scale: int = 1) -> np.ndarray:
    """The matrix from a row to the transformed values of all its tiles.

    Args:
        length: values in the row.
        scale: how often each value is repeated before the convolution; ``length * scale`` must be a multiple of 4.

    Returns:
        float64 (6 * tiles, length); row ``k * tiles + t`` gives value k of tile t. The row is padded with a zero at
        either end, as for a convolution that keeps its length.
    """
    outputs = length * scale
    tiles = outputs // TILE
    matrix = np.zeros((TAPS, tiles, length))
    for tile in range(tiles):
        for tap in range(TAPS):
            position = TILE * tile + tap - 1
            if 0 <= position < outputs:
                matrix[:, tile, position // scale] += _B_T[:, tap]
    return matrix.reshape(TAPS * tiles, length)


def from_products() -> np.ndarray:
    """The matrix from a tile's 6 x 6 products to its 4 x 4 outputs: float64 (16, 36)."""
    return np.kron(_A_T, _A_T)


def transform_filters(weights: np.ndarray) -> np.ndarray:
    """Filters (O, C, 3, 3) as what the tiles' values are multiplied with: float32 (36, C, O)."""
    # One large product of float64 takes a tenth of what einsum does.
    flat = weights.astype(np.float64).transpose(2, 3, 1, 0).reshape(9, -1)
    product = np.kron(_G, _G) @ flat
    return product.reshape(TAPS * TAPS, weights.shape[1], weights.shape[0]).astype(np.float32)
