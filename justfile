# The commands of the project. `.ci/run` and the GitHub workflows call these same recipes.
# `just` itself: `pip install rust-just`. Everything else: `pip install '.[dev]'` and a Rust toolchain.

set shell := ["bash", "-euo", "pipefail", "-c"]

host := `rustc -vV | sed -n 's/^host: //p'`

# What the SIMD dispatch can pick on this machine, weakest first.
simd_levels := if arch() == "aarch64" { "scalar neon" } else { ```
    levels=scalar
    flags=" $(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null || true) "
    has() { for flag in "$@"; do case "$flags" in *" $flag "*) ;; *) return 1 ;; esac; done; }
    if has avx2 fma; then levels="$levels avx2"; fi
    if has avx512f avx512bw avx512dq avx512vl; then levels="$levels avx512"; fi
    echo "$levels"
    ``` }

# List the recipes.
default:
    @just --list --unsorted

# Everything that reads the code without running it.
check: fmt clippy ruff types

# Rust formatting.
fmt:
    cargo fmt --all --check

# Rust lints; a warning is an error.
clippy:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# Python lints and formatting.
ruff:
    ruff check
    ruff format --check

# Python types, strict.
types:
    basedpyright

# All tests: the kernels in Rust, then the installed package in Python (`just develop` installs it).
test: test-rust test-python

# Kernel tests without and with the GPU feature.
test-rust: test-rust-cpu test-rust-gpu

test-rust-cpu:
    cargo test -p lectorium

test-rust-gpu:
    cargo test -p lectorium --features gpu

# Python tests, against the installed package.
test-python *args:
    pytest {{ args }}

# Kernel tests, and the operations' tests in Python, at each SIMD level of this machine.
test-simd: test-simd-rust test-simd-python

test-simd-rust:
    for level in {{ simd_levels }}; do \
        echo "== LECTORIUM_SIMD=$level"; LECTORIUM_SIMD=$level cargo test -p lectorium --lib --tests; \
    done

test-simd-python:
    for level in {{ simd_levels }}; do \
        echo "== LECTORIUM_SIMD=$level"; LECTORIUM_SIMD=$level pytest tests/ops; \
    done

# Convolutions with each way to compute them wherever it can. Winograd's tiles spread what is not finite
# over their outputs, and its sums round.
test-conv:
    for way in implicit direct winograd; do \
        echo "== LECTORIUM_CONV=$way"; \
        strict=""; if [ "$way" = winograd ]; then strict="not nan_and_infinity_stay"; fi; \
        LECTORIUM_CONV=$way pytest tests/ops/test_conv.py tests/ops/test_channels_last.py -k "$strict"; \
    done

# No leak check: the buffer pool keeps memory on purpose, and the Python tests count it.
# Kernel tests under the address sanitizer, at the scalar and the AVX2 (or NEON) level.
sanitize:
    for level in {{ simd_levels }}; do \
        if [ "$level" = avx512 ]; then continue; fi; \
        echo "== address sanitizer, LECTORIUM_SIMD=$level"; \
        RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 LECTORIUM_SIMD=$level \
            cargo test --target {{ host }} -p lectorium --lib --tests; \
    done

# Run the kernel benchmarks. `just bench conv` runs those whose name has "conv" in it.
bench *args:
    cargo bench -p lectorium -- {{ args }}

# Compile the benchmarks without running them.
bench-build:
    cargo bench -p lectorium --no-run

# Build the wheel into dist/.
build:
    pip wheel --no-deps --wheel-dir dist .

# Install the checkout in the active environment, editable; run it again after a change in Rust.
develop:
    maturin develop --release --extras dev

# Compare _core.pyi with the compiled module: names and parameters, both ways.
stubs:
    pytest tests/test_stubs.py
