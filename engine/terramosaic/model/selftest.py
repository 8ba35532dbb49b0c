"""A bundle's self-test: its stored input run on a device, compared with what was made of it when the bundle was.

Of TerraMind that is what the reference made, of another model what its graph made on the processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from terramosaic.errors import ModelError, RequestError, one_line
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Precision, available_cpus, parse_device, precision_on
from terramosaic.model.generator import (
    GenerationOptions,
    GeneratorOfLogits,
    Needs,
    WindowRandomness,
    Windows,
    tokens_seen,
)
from terramosaic.model.manifest import (
    COORDINATES,
    DRAW,
    EMBED,
    EMBEDDING,
    GENERATE,
    LOGITS,
    TOKENISE,
    TOKENS,
)
from terramosaic.model.opening import open_generator
from terramosaic.model.sessions import open_session
from terramosaic.model.terramind import TerraMindGenerator

#: Largest relative difference that passes: float32 rounding on the CPU, half precision on a GPU or in the bundle.
_LIMITS = {"cpu": 1e-3, "cuda": 1e-2}

#: Share of tokens that must agree; a token near a tie may flip where sums are rounded in another order.
_TOKENS_AGREE = 0.99


@dataclass(frozen=True)
class TargetCheck:
    """How a target compares with the reference.

    Attributes:
        relative: L2 norm of the difference by that of the reference's output, both made of the reference's tokens.
        largest: largest difference of a pixel, in ``unit``; of a probability for classes.
        tokens: share of tokens that agree, those of earlier targets given; None of a model without tokens.
        classes: share of pixels of the same class; None for values.
        shared: share of tokens that agree where they are drawn of logits, as for a consensus; None of a bundle without.
    """

    target: str
    relative: float
    largest: float
    unit: str
    tokens: float | None
    classes: float | None
    shared: float | None = None


@dataclass(frozen=True)
class BundleCheck:
    """A self-test's outcome on a device.

    Attributes:
        device: where it ran.
        targets: each made of all inputs at once.
        tokenised: by input that the bundle makes tokens of, the share that agree.
        limit: largest relative difference that passes.
    """

    device: str
    targets: tuple[TargetCheck, ...]
    tokenised: dict[str, float]
    limit: float

    def as_json(self) -> str:
        """The outcome for other programs."""
        return json.dumps({**asdict(self), "failures": self.failures}, indent=1)

    @property
    def failures(self) -> tuple[str, ...]:
        """A line for each target that differs by more than it may."""
        return (
            tuple(
                f"{check.target} differs from the reference by {check.relative:.1e} (limit {self.limit:.0e})"
                f"{_tokens_in_words(check)}"
                for check in self.targets
                if check.relative > self.limit or (check.tokens is not None and check.tokens < _TOKENS_AGREE)
            )
            + tuple(
                f"{check.target} drawn of logits, as for a consensus: {check.shared:.2%} of its tokens agree with the "
                f"reference (at least {_TOKENS_AGREE:.0%})"
                for check in self.targets
                if check.shared is not None and check.shared < _TOKENS_AGREE
            )
            + tuple(
                f"{name} as input: {share:.2%} of its tokens agree with the reference (at least {_TOKENS_AGREE:.0%})"
                for name, share in self.tokenised.items()
                if share < _TOKENS_AGREE
            )
        )


def _tokens_in_words(check: TargetCheck) -> str:
    if check.tokens is None:
        return ""
    return f", {check.tokens:.2%} of its tokens agree (at least {_TOKENS_AGREE:.0%})"


def check_bundle(bundle: Bundle, device: str = "cpu", precision: Precision = "auto") -> BundleCheck:
    """Runs a bundle's self-test.

    Args:
        bundle: a loaded bundle.
        device: where to run, such as ``cpu`` or ``cuda:1``.
        precision: that a GPU computes in.

    Raises:
        RequestError: the bundle holds no self-test, or the device does not compute in that precision.
        ModelError: the stored self-test is broken, or the model or its device failed.
    """
    precision_on(precision, parse_device(device))
    name = bundle.manifest.selftest
    if name is None:
        raise RequestError(
            f"model: bundle {bundle.name!r} holds no self-test; it is checked by the engine's own tests"
        )
    stored = read_selftest(bundle, name)
    if all(GENERATE in spec.graphs for spec in bundle.targets.values()):
        return _check_single_graphs(bundle, device, stored)
    targets, steps = tuple(bundle.targets), int(stored["steps"])
    inputs = tuple(name for name, spec in bundle.inputs.items() if EMBED in spec.graphs)
    windows = {name: stored[f"windows.{name}"] for name in inputs}
    count, side = len(windows[inputs[0]]), bundle.manifest.patches
    randomness = {
        target: WindowRandomness(
            noise=stored.get(f"{target}.noise"), uniform=np.zeros((count, side, side), np.float32)
        )
        for target in targets
    }
    # What was stored is the reference's, which always chains. It saw all inputs at once: each one's graph counts.
    options = GenerationOptions(
        steps=steps, conditioning="chained", sampling="greedy", inputs=inputs, precision=precision
    )
    # But for the embedding: the reference's is of images alone.
    is_placed = COORDINATES in inputs and EMBEDDING in targets
    drawn = tuple(target for target in targets if target != EMBEDDING) if is_placed else targets
    generator = open_generator(bundle, drawn, device, options=options)
    if not isinstance(generator, TerraMindGenerator):
        raise RequestError(f"model: bundle {bundle.name!r} is not TerraMind; its self-test cannot be run")
    # A token that falls to the other side of an equal lead would change a patch, and the chain behind it.
    chain = {target: stored[f"{target}.ids"].reshape(count, -1) for target in bundle.manifest.generated}
    values, tokens = generator.generate_with_tokens(windows, randomness, chain)
    if is_placed:
        images = replace(options, inputs=bundle.manifest.embedded)
        values |= open_generator(bundle, (EMBEDDING,), device, options=images).generate(windows, {})
    checks = [_compare(bundle, target, values[target], tokens.get(target), stored) for target in targets]
    del generator  # the next one, with other options, would find its memory taken
    shared = _tokens_of_logits(bundle, device, options, windows, chain)
    checks = [replace(check, shared=shared.get(check.target)) for check in checks]
    tokenised = {
        name: _tokens_that_agree(bundle, name, device, stored, precision)
        for name, spec in bundle.inputs.items()
        if TOKENISE in spec.graphs
    }
    in_half = any(spec.precision == "fp16" for spec in bundle.manifest.files.values())
    limit = _LIMITS["cuda" if in_half else parse_device(device).kind]
    return BundleCheck(device, tuple(checks), tokenised, limit)


def stored_windows(
    bundle: Bundle, inputs: Sequence[str], needs: Mapping[str, Needs]
) -> tuple[Windows, dict[str, WindowRandomness]] | None:
    """Windows of some inputs that a bundle keeps for its self-test, with the randomness that targets need.

    None of a bundle without.

    Raises:
        ModelError: the stored self-test is broken.
    """
    if bundle.manifest.selftest is None:
        return None
    stored = read_selftest(bundle, bundle.manifest.selftest)
    windows = {name: stored[f"windows.{name}"] for name in inputs}
    count, side = len(windows[inputs[0]]), bundle.manifest.patches
    uniform = np.random.default_rng(0).random((count, side, side), np.float32)
    return windows, {
        target: WindowRandomness(stored.get(f"{target}.noise"), uniform if need.uniform else None)
        for target, need in needs.items()
    }


def _check_single_graphs(bundle: Bundle, device: str, stored: dict[str, np.ndarray]) -> BundleCheck:
    """Of a bundle whose targets are one graph each; what was stored is what the processor made of the same graphs."""
    targets = tuple(bundle.targets)
    windows = {name: stored[f"windows.{name}"] for name in bundle.inputs}
    generator = open_generator(bundle, targets, device, options=GenerationOptions(inputs=tuple(windows)))
    count = len(next(iter(windows.values())))
    drawn = without_chance(generator.needs, count, bundle.manifest.patches)
    values = generator.generate(windows, drawn)
    checks = tuple(_compare(bundle, target, values[target], None, stored) for target in targets)
    return BundleCheck(device, checks, {}, _LIMITS[parse_device(device).kind])


def without_chance(needs: Mapping[str, Needs], count: int, patches: int) -> dict[str, WindowRandomness]:
    """What targets of one graph that draw tokens are tested with: of each nucleus the first."""
    zeros = np.zeros((count, patches, patches), np.float32)
    return {target: WindowRandomness(uniform=zeros) for target, need in needs.items() if need.uniform}


def _tokens_of_logits(
    bundle: Bundle, device: str, options: GenerationOptions, windows: Windows, chain: dict[str, np.ndarray]
) -> dict[str, float]:
    """By target, the share of the reference's tokens among those drawn as windows that share them do."""
    if DRAW not in bundle.manifest.graphs:
        return {}
    targets = tuple(name for name in bundle.manifest.generated if LOGITS in bundle.targets[name].graphs)
    options = replace(options, consensus=True)
    generator = open_generator(bundle, targets, device, options=options)
    if not isinstance(generator, GeneratorOfLogits):
        raise RequestError(f"model: bundle {bundle.name!r} tells no logits; its self-test cannot be run")
    found = {}
    for target, seen in tokens_seen(targets, options.conditioning).items():
        logits = generator.logits(windows, target, {name: chain[name] for name in seen})
        zeros = np.zeros(chain[target].size, np.float32)
        drawn = generator.draw(target, logits.reshape(len(zeros), -1), zeros)
        found[target] = float((drawn == chain[target].ravel()).mean())
    return found


def _tokens_that_agree(
    bundle: Bundle, name: str, device: str, stored: dict[str, np.ndarray], precision: Precision
) -> float:
    """The share of an input's tokens that are the reference's."""
    windows, wanted = stored[f"windows.{name}"], stored[f"tokens.{name}"]
    graph = bundle.inputs[name].graphs["tokenise"]
    session = open_session(
        bundle,
        TOKENISE,
        graph,
        parse_device(device),
        threads=available_cpus(),
        batch=len(windows),
        precision=precision,
    )
    return float((session.run(["ids"], {"windows": windows})[0] == wanted).mean())


def read_selftest(bundle: Bundle, name: str) -> dict[str, np.ndarray]:
    """The arrays of a bundle's self-test, whose names `terramosaic.model.export.selftest` gives them.

    Raises:
        ModelError: the file cannot be read, or lacks some.
    """
    try:
        with np.load(bundle.folder / name, allow_pickle=False) as file:
            stored = dict(file)
        drawn = [target for target, spec in bundle.targets.items() if TOKENS in spec.graphs or spec.sampling]
        wanted = {"steps" for _ in drawn} | {f"windows.{name}" for name in bundle.inputs}
        wanted |= {f"tokens.{name}" for name, spec in bundle.inputs.items() if TOKENISE in spec.graphs}
        wanted |= {f"{target}.ids" for target in drawn}
        wanted |= {f"{target}.{spec.output}" for target, spec in bundle.targets.items()}
        wanted |= {f"{target}.noise" for target, spec in bundle.targets.items() if spec.noise_channels}
        if missing := sorted(wanted - set(stored)):
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (OSError, ValueError) as error:
        raise ModelError(f"{bundle.folder / name}: is no self-test: {one_line(error)}") from error
    return stored


def _compare(
    bundle: Bundle, target: str, values: np.ndarray, tokens: np.ndarray | None, stored: dict[str, np.ndarray]
) -> TargetCheck:
    spec = bundle.targets[target]
    reference = stored[f"{target}.{spec.output}"]
    if target == COORDINATES:  # what is no place is told by its words
        values, reference = np.nan_to_num(values), np.nan_to_num(reference, copy=True)
    # Measured from the mean: an offset of -12 dB would hide what differs.
    centre = np.float32(0) if spec.mean is None else np.array(spec.mean, np.float32)[:, None, None]
    difference = values - reference
    return TargetCheck(
        target,
        relative=float(np.linalg.norm(difference) / (np.linalg.norm(reference - centre) or 1)),
        largest=float(np.abs(difference).max()),
        unit=spec.unit or "",
        tokens=None
        if tokens is None
        else float((tokens == stored[f"{target}.ids"].reshape(tokens.shape)).mean()),
        classes=float((values.argmax(1) == reference.argmax(1)).mean()) if spec.classes else None,
    )
