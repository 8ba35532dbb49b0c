"""ONNX Runtime sessions on one NVIDIA GPU, or an error that says why there is none; never one on the CPU instead."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from terramosaic.errors import ModelError, one_line
from terramosaic.model.cuda.libraries import CUDA, load_cuda_libraries, no_cuda
from terramosaic.model.runtime import is_out_of_memory, session_options

logger = logging.getLogger(__name__)

#: The free dimension that a run fixes. The lengths of encode's and decode's chains stay free: one session serves all.
BATCH = "batch"

# fmt: off
#: Operators that do a model's work. One of them on the CPU is a fall-back, and no session is made.
_WORK = frozenset((
    "Attention", "Conv", "CumSum", "Einsum", "FusedConv", "FusedMatMul", "Gelu", "Gemm", "GroupNorm",
    "InstanceNormalization", "LayerNormalization", "MatMul", "NhwcConv", "Resize", "SkipGroupNorm",
    "SkipLayerNormalization", "Softmax", "TopK",
))

#: What ONNX Runtime leaves to the CPU although CUDA has it: arithmetic on shapes, which is wanted there anyway.
_SHAPE_ARITHMETIC = frozenset((
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Gather", "Identity", "Mul",
    "Range", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Sub", "Unsqueeze", "Where",
))
# fmt: on

#: Options of the CUDA provider; `terramosaic.model.cuda.step` brings the layout that ``prefer_nhwc`` would make ONNX
#: Runtime seek.
CUDA_OPTIONS: Mapping[str, str] = {
    # cuDNN's heuristics (mode A). EXHAUSTIVE has been mode B since ONNX Runtime 1.20, no longer a measurement of all
    # algorithms, and starts slower; DEFAULT takes cuDNN's fall-back plans, which may be many times slower.
    "cudnn_conv_algo_search": "HEURISTIC",
    # A convolution adds its bias itself instead of in a kernel of its own, wherever cuDNN can.
    "fuse_conv_bias": "1",
    "prefer_nhwc": "0",
    # Doubling would take up to twice what is needed, of a memory that several sessions share.
    "arena_extend_strategy": "kSameAsRequested",
    # The default. Switched off, half-precision convolutions lose their tensor cores too.
    "use_tf32": "1",
}

_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def open_on_cuda(
    path: Path, *, device_index: int, batch: int | None, threads: int, capture: bool = False
) -> onnxruntime.InferenceSession:
    """Opens a session that computes on one GPU.

    Left to itself, ONNX Runtime answers an unusable GPU with two lines on stderr and a session on the CPU.

    Args:
        path: the graph.
        device_index: the GPU, as CUDA counts those that this process may see.
        batch: windows in every run; None leaves their number free.
        threads: processors that one run may use.
        capture: keep a run's launches and repeat them at once (a CUDA graph), for runs bound to fixed addresses.
            Where this graph cannot be captured the log says so, and its kernels are launched one by one.

    Raises:
        ModelError: CUDA cannot be used here, or not for this graph; with the reason.
    """
    complaint = load_cuda_libraries(device_index)
    if capture:
        try:
            session = _open(path, device_index, batch, threads, complaint, capture=True)
            _try_capture(session, device_index)
            return session
        except ModelError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no other common base
            if is_out_of_memory(error):  # without the CUDA graph there would be hardly more of it
                raise ModelError(f"{path}: cuda:{device_index}: {one_line(error)}") from error
            logger.warning(
                "cuda:%d: %s cannot be captured as a CUDA graph, its kernels are launched one by one: %s",
                device_index,
                path,
                one_line(error),
            )
    try:
        return _open(path, device_index, batch, threads, complaint, capture=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot open it on CUDA: {one_line(error)}") from error


def _open(
    path: Path, device_index: int, batch: int | None, threads: int, complaint: str, *, capture: bool
) -> onnxruntime.InferenceSession:
    options = session_options(threads)
    # A pattern is one block of memory for a whole run, beside what the first run took piece by piece, and a CUDA graph
    # holds both: without, TerraMind takes 41 % less at batches of 32, and is captured all the same.
    options.enable_mem_pattern = False
    if batch is not None:
        # With it fixed, all arithmetic on shapes that does not hang on a chain's length is done when the graph is
        # opened, and each convolution keeps one plan.
        options.add_free_dimension_override_by_name(BATCH, batch)
    # ``session.disable_cpu_ep_fallback`` would refuse also arithmetic on shapes; instead the record is read below.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chosen = {**CUDA_OPTIONS, "device_id": str(device_index), "enable_cuda_graph": str(int(capture))}
    try:
        with _silence():
            session = onnxruntime.InferenceSession(
                str(path), options, providers=[(CUDA, chosen)], enable_fallback=0
            )
    except Exception as error:  # ONNX Runtime's errors have no other common base
        if "CUDA failure" in str(error) and not is_out_of_memory(error):
            raise no_cuda(" ".join(filter(None, (complaint, one_line(error))))) from error
        raise
    if session.get_providers()[0] != CUDA:
        raise no_cuda(complaint or f"ONNX Runtime chose {session.get_providers()[0]}")
    _check_placement(session, path)
    return session


def _check_placement(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Refuses a session that would do the model's work on the CPU, and says what else is done there."""
    on_cpu = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != CUDA
        for node in part.get_nodes()
    }
    if work := sorted(on_cpu & _WORK):
        raise no_cuda(f"{path}: ONNX Runtime would run {', '.join(work)} on the CPU")
    if others := sorted(on_cpu - _SHAPE_ARITHMETIC):
        logger.warning(
            "%s: ONNX Runtime has no CUDA kernel for %s and runs it on the CPU", path, ", ".join(others)
        )


def _try_capture(session: onnxruntime.InferenceSession, device_index: int) -> None:
    """Captures a run on zeros and forgets it: that a graph cannot be captured shows only when it is run."""
    binding = session.io_binding()
    for tensor in session.get_inputs():
        zeros = np.zeros([int(size) for size in tensor.shape], _NUMPY[tensor.type])
        binding.bind_ortvalue_input(
            tensor.name, onnxruntime.OrtValue.ortvalue_from_numpy(zeros, "cuda", device_index)
        )
    for tensor in session.get_outputs():
        shape = [int(size) for size in tensor.shape]
        binding.bind_ortvalue_output(
            tensor.name,
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                shape, _NUMPY[tensor.type], "cuda", device_index
            ),
        )
    session.run_with_iobinding(binding)
    session.release_captured_graph()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps ONNX Runtime from telling on stderr what is raised here."""
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # ONNX Runtime's default
