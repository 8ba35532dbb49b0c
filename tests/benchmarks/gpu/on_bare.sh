#!/bin/sh
# The benchmark on a machine that has PyTorch and ONNX, and of Terramosaic what `carry.sh` packed. In the repository's
# root there; see RESULTS.md.
#
#   sh tests/benchmarks/gpu/on_bare.sh keep                 the first call, with .ortgpu: puts it aside
#   sh tests/benchmarks/gpu/on_bare.sh --only correct,...   any later one, with .gpu: unpacks what is not yet, and measures
#
# All of it lies in $KEPT, by default /tmp/terramosaic-gpu: bundle and prepared graphs too, for the next call.
set -eu
kept="${KEPT:-/tmp/terramosaic-gpu}"
python="${PYTHON:-python3}"
mkdir -p "$kept"
if [ "${1:-}" = keep ]; then
    cp .ortgpu/ort.0 "$kept/"
    ls -l "$kept"
    exit
fi
if [ ! -d "$kept/ort" ]; then
    cat "$kept/ort.0" .gpu/ort.1 >"$kept/ort.tar.xz"
    "$python" -c "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')" \
        "$kept/ort.tar.xz" "$kept/ort.partial"
    mv "$kept/ort.partial" "$kept/ort"
    rm "$kept/ort.tar.xz"
fi
if [ ! -d "$kept/site" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$kept/site.partial" .gpu/wheels/*.whl
    mv "$kept/site.partial" "$kept/site"
fi
# CUDA and cuDNN as PyTorch's wheels brought them, if they did; what is named already comes first.
nvidia="$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)"
[ -z "$nvidia" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$nvidia/cu13/lib:$nvidia/cudnn/lib"
export PYTHONPATH="$kept/ort:$kept/site" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
exec "$python" -m tests.benchmarks.gpu --work "$kept" "$@"
