#!/usr/bin/env bash
# Resolves the lock files: the device's with hashes, wheels only, for Python 3.10 to 3.13 on x86-64
# and aarch64; the tools', the workbench's and the backbones' on top of the same versions.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
common=(--universal --no-annotate --no-header --quiet)
"$uv" pip compile "${common[@]}" --python-version 3.10 --only-binary :all: --generate-hashes \
  --extra samples pyproject.toml -o requirements/device.lock
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
sed -nE 's/^([A-Za-z0-9._-]+==[^\\]+[^ \\]) *\\?$/\1/p' requirements/device.lock > "$pins"
"$uv" pip compile "${common[@]}" --python-version 3.10 --extra samples --extra dev \
  --constraint "$pins" pyproject.toml -o requirements/dev.lock
"$uv" pip compile "${common[@]}" --python-version 3.11 --extra samples --extra dev \
  --extra workbench --constraint "$pins" pyproject.toml -o requirements/workbench.lock
"$uv" pip compile "${common[@]}" --python-version 3.11 --extra samples --extra dev \
  --extra backbones --constraint "$pins" pyproject.toml -o requirements/backbones.lock
# Each quantizer of `make bench-quantizers` has an environment of its own.
for tool in modelopt nncf; do
  "$uv" pip compile "${common[@]}" --python-version 3.11 "requirements/$tool.in" \
    -o "requirements/$tool.lock"
done
sed -i -E '/^(nvidia-(cu|nc|nv)|triton|cuda-)/d' requirements/modelopt.lock
# A CPU build of torch needs none of the CUDA libraries; a CUDA build brings its own.
sed -i -E '/^(nvidia-|triton|cuda-)/d' requirements/workbench.lock requirements/backbones.lock
