#!/bin/sh
# Packs what a lent GPU machine lacks, in the repository's root, in two folders for two calls, since both together are
# more than one call may carry:
#   .ortgpu/  the first 40 MB of ONNX Runtime for CUDA
#   .gpu/     the rest of it, graphs without weights (0.4 MB a variant), a few wheels, TerraMind's sources of terratorch
# Needs the network, and the slimming script's path where it is not ../shared/tools. See RESULTS.md.
#
#   [PYTHON=.venv/bin/python] [VARIANTS=...] [BUNDLES=folder] tests/benchmarks/gpu/carry.sh [SLIM_ORT_GPU.PY]
#
# PYTHON has terramosaic[export] and zstandard. Bundles that BUNDLES holds, by their variants' names, are taken from
# there; others are exported now, from random weights: minutes each.
set -eu
slim="${1:-../shared/tools/slim_ort_gpu.py}"
python="${PYTHON:-.venv/bin/python}"
bundles="${BUNDLES:-}"
scratch="$(mktemp -d)"
trap 'rm -r "$scratch"' EXIT
mkdir -p .git/info .ortgpu .gpu/wheels .gpu/models
for folder in .ortgpu .gpu; do
    grep -qsx "/$folder/" .git/info/exclude || echo "/$folder/" >>.git/info/exclude
done
fetch() {
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 "$@"
}
installed() {
    "$python" -c "import importlib.metadata as m, sys; print(sys.argv[1] + '==' + m.version(sys.argv[1]))" "$1"
}
for variant in ${VARIANTS:-terramind_v1_tiny terramind_v1_base}; do
    [ -f ".gpu/models/$variant/bundle.json" ] && continue
    bundle="$bundles/$variant"
    if [ ! -f "$bundle/bundle.json" ]; then
        bundle="$scratch/$variant"
        "$python" -m terramosaic model export "$variant" --out "$bundle" --inputs S2L2A --random-weights 7
    fi
    "$python" -m tests.benchmarks.gpu.skeleton "$bundle" ".gpu/models/$variant"
done
if [ ! -f .gpu/ort.1 ]; then
    fetch -d "$scratch" "$(installed onnxruntime-gpu)"
    "$python" "$slim" "$scratch"/onnxruntime_gpu-*.whl "$scratch/ort.tar.xz"
    head -c 40000000 "$scratch/ort.tar.xz" >.ortgpu/ort.0
    tail -c +40000001 "$scratch/ort.tar.xz" >.gpu/ort.1
fi
for name in $("$python" -m tests.benchmarks.gpu.bare); do
    ls .gpu/wheels | grep -qi "^$(echo "$name" | tr - _)-[0-9]" || fetch -d .gpu/wheels "$(installed "$name")"
done
site="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
part=terratorch/models/backbones/terramind
mkdir -p ".gpu/$part"
cp -r "$site/$part/." ".gpu/$part/"
find .gpu -name __pycache__ -prune -exec rm -r {} +
git ls-files -z --cached --others --exclude-standard | xargs -0 du -ch --apparent-size | tail -1 | sed 's/total/the repository/'
du -sh --apparent-size .ortgpu .gpu
