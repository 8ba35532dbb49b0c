"""Windows in, targets out: the one boundary between the engine and whatever model a bundle holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from terramosaic.errors import ModelError
from terramosaic.model.devices import Precision
from terramosaic.model.manifest import COORDINATES, NAMED_KINDS, InputSpec


@dataclass(frozen=True)
class BatchSizes:
    """Windows at once, where nobody says otherwise.

    Attributes:
        call: that a block hands to the model.
        terramind: in a run of TerraMind's graphs.
        single_graph: in a run of a target's one graph.
    """

    call: int
    terramind: int
    single_graph: int


#: By kind of device. Alone, a window fits the CPU's caches and never depends on others.
BATCH_SIZES = {
    "cpu": BatchSizes(call=2, terramind=1, single_graph=1),
    "cuda": BatchSizes(call=32, terramind=32, single_graph=16),
}


@dataclass(frozen=True)
class Needs:
    """The randomness that a target asks for: planes of noise, and whether a uniform number for each patch."""

    noise_channels: int
    uniform: bool


@dataclass(frozen=True)
class WindowRandomness:
    """Ground-anchored randomness of a batch of windows for one target.

    Attributes:
        noise: Standard normal, float32 (N, channels, side, side); None where the target needs none.
        uniform: In [0, 1), float32 (N, patches, patches), one number per patch; None where the target needs none.
    """

    noise: np.ndarray | None = None
    uniform: np.ndarray | None = None

    def of(self, windows: slice | np.ndarray) -> WindowRandomness:
        """That of some of the windows, by their places in the batch."""
        noise, uniform = self.noise, self.uniform
        return WindowRandomness(
            None if noise is None else noise[windows], None if uniform is None else uniform[windows]
        )


#: A batch of windows by input: float32 (N, bands, side, side) each, in the units that the bundle states, without gaps;
#: of inputs with several dates (N, bands, dates, side, side), the oldest first.
#: TerraMind's have 224 pixels to a side, and 14 patches, if it was not exported for others. Of coordinates it is the
#: middle of each window, longitude and latitude in degrees: float32 (N, 2).
Windows = Mapping[str, np.ndarray]

Conditioning = Literal["chained", "independent"]


def tokens_seen(targets: Sequence[str], conditioning: Conditioning) -> dict[str, tuple[str, ...]]:
    """Of which targets each one sees the tokens: chained, of all before it in the order of generation.

    The embedding and coordinates, whose patches have no tokens for others to see, are not among them.
    """
    chained, drawn = conditioning == "chained", [target for target in targets if target not in NAMED_KINDS]
    return {target: tuple(drawn[:k]) if chained else () for k, target in enumerate(drawn)}


def drawn_for(wanted: Collection[str], targets: Sequence[str], conditioning: Conditioning) -> tuple[str, ...]:
    """The targets whose tokens must be drawn to make some of them: these, and those that they see; in order.

    Chained, coordinates see the tokens of all: they are made last.
    """
    seen = tokens_seen(targets, conditioning)
    needed = {name for target in wanted if target in seen for name in (target, *seen[target])}
    if COORDINATES in wanted and conditioning == "chained":
        needed = set(seen)
    return tuple(target for target in targets if target in needed)


@dataclass(frozen=True)
class GenerationOptions:
    """Choices of a run that a bundle leaves open; a model without diffusion or tokens has no use for them.

    Attributes:
        steps: denoising steps of diffusion targets.
        conditioning: ``chained``, where a target sees the tokens of those before it, or ``independent``.
        sampling: ``nucleus``, by the bundle's top-p and the window's uniforms, or ``greedy``.
        x0_clip: bound of the predicted sample in standard deviations; None for the bundle's own.
        x0_clips: of targets that have another one, by name.
        inputs: what the model sees of a window, together.
        tokenised: those of the inputs that it sees as tokens; all that it has no other form of are.
        reconstruct: makes each target of its own input's tokens, which the tokenizer gives, without the transformer.
        consensus: whether tokens are to be drawn from what several windows say of them; see `GeneratorOfLogits`.
        precision: that a GPU computes in, ``auto`` being half; a CPU computes in single in any case.
    """

    steps: int = 10
    conditioning: Conditioning = "chained"
    sampling: Literal["nucleus", "greedy"] = "nucleus"
    x0_clip: float | None = None
    x0_clips: tuple[tuple[str, float], ...] = ()
    inputs: tuple[str, ...] = ("S2L2A",)
    tokenised: tuple[str, ...] = ()
    reconstruct: bool = False
    consensus: bool = False
    precision: Precision = "auto"


class Generator(Protocol):
    """A model that is ready to run. ``generate`` may be called by several threads at once."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What ``generate`` returns, in the order of generation."""

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The randomness that each target asks for."""

    def generate(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        wanted: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Generates targets for a batch of windows.

        Args:
            windows: of each input that the model was opened for.
            randomness: What ``needs`` asks for, by target; a target that needs none may be left out. Noise of targets
                that are not wanted may be left out, too.
            wanted: Targets to generate, some of ``targets``; by default all of them. Each is as if all were.

        Returns:
            By target, float32 (N, C, side, side): values in the target's unit, or class probabilities. Of coordinates
            float32 (N, 2): latitude and longitude in degrees, NaN where what was drawn is no place.

        Raises:
            ModelError: the model or its device failed, or returned numbers that are not finite.
        """


@runtime_checkable
class GeneratorWithTokens(Generator, Protocol):
    """A model that draws tokens, and tells which."""

    def generate_with_tokens(
        self,
        windows: Windows,
        randomness: Mapping[str, WindowRandomness],
        chain: Mapping[str, np.ndarray] | None = None,
        wanted: Collection[str] | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """As `generate`, with the tokens that were drawn for each target, int64 (N, patches²), row after row.

        Of coordinates these are the two words, int64 (N, 2).

        Of the targets that are not wanted, tokens are drawn for those that a wanted one sees, as `drawn_for` has it,
        and nothing is made of them.

        With ``chain``, of the same shape, values are made of its tokens, and later targets see them: what a device
        makes can then be compared where another one drew another token.
        """


#: Names a tile of the ground's patches: row and column.
TileKey = tuple[int, int]


class LogitSums(Protocol):
    """What windows say of the ground's patches, added up where the model computes: patches lie in square tiles."""

    def add(
        self, windows: Windows, seen: Mapping[str, np.ndarray], tiles: Sequence[Sequence[TileKey]]
    ) -> None:
        """Adds what windows say, one after the other.

        Args:
            windows: as `GeneratorOfLogits.logits` takes them.
            seen: likewise.
            tiles: under each window, row after row; it begins where the first of them does.
        """

    def draw(
        self, tile: TileKey, patches: np.ndarray, windows: np.ndarray, uniform: np.ndarray
    ) -> np.ndarray:
        """Draws a token of the mean of each of some patches of a tile, int64 (N,), and forgets the tile.

        Args:
            tile: whose sums nothing more is added to.
            patches: their numbers in it, row after row, int64 (N,).
            windows: of how many windows the sum of each is, float32 (N,).
            uniform: what it is drawn with, float32 (N,).
        """


@runtime_checkable
class GeneratorOfLogits(GeneratorWithTokens, Protocol):
    """A model that tells what it draws tokens from, and makes values of tokens that it is given."""

    def logits(self, windows: Windows, target: str, seen: Mapping[str, np.ndarray]) -> np.ndarray:
        """What tokens of a target are drawn from, float32 (N, patches², codes): log-probabilities but for a constant.

        With ``seen`` the tokens of the targets that it sees, int64 (N, patches²) each.
        """

    def sums(self, target: str, step: int) -> LogitSums:
        """Sums of what tokens of a target are drawn from, none yet, in tiles of ``step`` patches to a side."""

    def draw(self, target: str, logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draws a token of each row of logits (tokens, codes) with its uniform number (tokens,): int64 (tokens,).

        Of the logits of one window it draws what `GeneratorWithTokens.generate_with_tokens` does.
        """

    def values_of(
        self, tokens: Mapping[str, np.ndarray], randomness: Mapping[str, WindowRandomness]
    ) -> dict[str, np.ndarray]:
        """What `Generator.generate` returns, of these targets, made of tokens int64 (N, patches²)."""


def checked(name: str, array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """An array that is given to a model, if it is float32 and of the shape that the model wants.

    Raises:
        ModelError: it is not; names the array.
    """
    if array is None or array.dtype != np.float32 or array.shape != shape:
        found = "absent" if array is None else f"{array.dtype} {array.shape}"
        raise ModelError(f"{name} must be float32 {shape}, and is {found}")
    return array


def checked_windows(inputs: Mapping[str, InputSpec], side: int, windows: Windows) -> dict[str, np.ndarray]:
    """A batch of windows of each of a model's inputs, ``side`` pixels to a side, as many of one as of another.

    Raises:
        ModelError: an input's are absent, or of another form.
    """
    count = max((len(array) for array in windows.values()), default=0)
    return {
        name: checked(f"windows of {name}", windows.get(name), (count, *spec.shape(side)))
        for name, spec in inputs.items()
    }
