"""Opens a bundle's model on a device; which of the two kinds it is, is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import Device, available_cpus, parse_device
from terramosaic.model.generator import GenerationOptions, Generator
from terramosaic.model.manifest import CONTEXT, GENERATE, NAMED_KINDS, TOKENS
from terramosaic.model.single_graph import SingleGraphGenerator
from terramosaic.model.terramind import TerraMindGenerator

_terramind: dict[tuple[object, ...], TerraMindGenerator] = {}
_opening = Lock()


def open_generator(
    bundle: Bundle,
    targets: Sequence[str],
    device: str = "cpu",
    *,
    options: GenerationOptions | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
) -> Generator:
    """Opens a bundle's model, with sessions made once per process.

    Args:
        bundle: A loaded bundle.
        targets: What to generate, in this order.
        device: Where to run, such as ``cpu`` or ``cuda:1``. CUDA is strict: it never falls back to the CPU.
        options: The run's choices.
        batch_size: Windows in one pass of the model, whatever ``generate`` is given; by default what suits
            the device, as ``BATCH_SIZES`` has it.
        threads: CPU threads of a session; by default all that the process may use.

    Raises:
        RequestError: the bundle lacks a target or an input, or there is no device of that name.
        ModelError: this engine cannot run the bundle, or the device cannot be used; with the reason.
    """
    options = options or GenerationOptions()
    threads = threads or available_cpus()
    if unseen := [name for name in options.tokenised if name not in options.inputs]:
        raise RequestError(
            f"tokenised: {', '.join(unseen)} is not among the inputs {', '.join(options.inputs)}"
        )
    bundle.require(
        targets,
        options.inputs,
        options.tokenised,
        reconstruct=options.reconstruct,
        consensus=options.consensus,
        chained=options.conditioning == "chained",
    )
    if is_of_single_graphs(bundle, targets):
        return SingleGraphGenerator(
            bundle, targets, parse_device(device), batch_size=batch_size, threads=threads
        )
    generated = [target for target in targets if target not in NAMED_KINDS]
    unknown = [target for target in generated if TOKENS not in bundle.targets[target].graphs]
    if CONTEXT not in bundle.manifest.graphs or unknown:
        wrong = (unknown or targets)[0]
        raise ModelError(
            f"bundle {bundle.name!r}: targets.{wrong} is of kind {bundle.targets[wrong].kind!r} with graphs "
            f"{', '.join(bundle.targets[wrong].graphs)}, which this version of terramosaic cannot run; upgrade it"
        )
    key = (bundle.fingerprint, bundle.folder, tuple(targets), device, options, batch_size, threads)
    with _opening:
        if key not in _terramind:
            # One model at a time: its weights and buffers fill a device.
            _terramind.clear()
            _terramind[key] = TerraMindGenerator(
                bundle, targets, parse_device(device), options, batch_size=batch_size, threads=threads
            )
        return _terramind[key]


def is_of_single_graphs(bundle: Bundle, targets: Sequence[str]) -> bool:
    """Whether one graph makes each of some targets from its inputs alone, as of the demo and of packed models."""
    return all(GENERATE in bundle.targets[target].graphs for target in targets)


def threads_for(
    bundle: Bundle, targets: Sequence[str], device: Device, *, processors: int, blocks: int
) -> int:
    """Processors for each run of a model, where several blocks are computed side by side.

    Blocks run single graphs at the same time, each its share: they wait less than threads within a model. Of TerraMind
    a process has one set of weights and buffers, and batches follow each other, so that each has all processors.

    Args:
        bundle: the model.
        targets: what it makes.
        device: where to run.
        processors: that this process may use.
        blocks: side by side.
    """
    if device.kind == "cpu" and not is_of_single_graphs(bundle, targets):
        return processors
    return max(1, processors // blocks)
