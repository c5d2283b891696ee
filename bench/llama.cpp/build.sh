#!/usr/bin/env bash
# Builds the tools of llama.cpp v0.5.0 that facet is measured against, from the sources inside
# the npm package node-llama-cpp 3.22.1 (a git bundle), so that no other download is needed.
#
#   bench/llama.cpp/build.sh [DIR]     DIR is out/llama.cpp unless given; the tools are in DIR/build/bin
#
# Needs npm, git, cmake, ninja and a C++ compiler: about ten minutes on two cores. A second call
# builds only what is missing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../out/llama.cpp}
mkdir -p "$dir"
cd "$dir"

package=node-llama-cpp@3.22.1
for tool in npm git cmake ninja c++; do
  command -v "$tool" >/dev/null || { echo "build.sh: $tool is not installed" >&2; exit 1; }
done

# A cloned tree is complete or absent: the clone goes to another name first.
if [ ! -d src ]; then
  [ -d package ] || tar xzf "$(npm pack --silent "$package")"
  rm -rf src.tmp
  git clone --quiet package/llama/gitRelease.bundle src.tmp
  mv src.tmp src
fi

# GGML_NATIVE: the compiler may use all that this machine has, as a user's build would.
cmake -S src -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_CCACHE=OFF \
  -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF >cmake.log 2>&1 || { tail -n 30 cmake.log >&2; exit 1; }
cmake --build build --target llama-bench llama-batched-bench llama-mtmd-cli llama-quantize \
  llama-perplexity llama-tokenize >build.log || { tail -n 30 build.log >&2; exit 1; }

# Our own tool links the library that was just built.
c++ -O2 -std=c++17 -o build/bin/logits "$here/logits.cpp" -Isrc/include -Isrc/ggml/include \
  -Lbuild/bin -lllama -lggml -lggml-base -Wl,-rpath,'$ORIGIN'

ls build/bin
