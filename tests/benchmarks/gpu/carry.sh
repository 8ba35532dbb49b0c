#!/bin/sh
# Packs what a lent GPU machine lacks, in the repository's root: .ortgpu/ (ONNX Runtime for CUDA, 58 MiB) and .gpu/
# (TerraMind's sources out of terratorch, and a few wheels). Both together are more than one call may carry, so the
# first call carries .ortgpu alone and unpacks it. Needs the network, and the slimming script's path where it is not
# ../shared/tools. See RESULTS.md.
set -eu
slim="${1:-../shared/tools/slim_ort_gpu.py}"
python="${PYTHON:-.venv/bin/python}"
mkdir -p .git/info
for folder in .ortgpu .gpu; do
    grep -qsx "/$folder/" .git/info/exclude || echo "/$folder/" >>.git/info/exclude
done
mkdir -p .ortgpu .gpu/wheels
fetch() {
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 "$@"
}
installed() {
    "$python" -c "import importlib.metadata as m, sys; print(sys.argv[1] + '==' + m.version(sys.argv[1]))" "$1"
}
if [ ! -f .ortgpu/ort.tar.xz ]; then
    wheel="$(mktemp -d)"
    fetch -d "$wheel" "$(installed onnxruntime-gpu)"
    "$python" "$slim" "$wheel"/onnxruntime_gpu-*.whl .ortgpu/ort.tar.xz
    rm -r "$wheel"
fi
for name in pydantic pydantic-core annotated-types typing-inspection platformdirs diffusers importlib-metadata \
    odc-geo shapely pyproj affine cachetools; do
    fetch -d .gpu/wheels "$(installed "$name")"
done
site="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
part=terratorch/models/backbones/terramind
mkdir -p ".gpu/$part"
cp -r "$site/$part/." ".gpu/$part/"
find .gpu -name __pycache__ -prune -exec rm -r {} +
du -sh .ortgpu .gpu
