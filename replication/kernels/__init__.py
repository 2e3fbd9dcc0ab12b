"""Code compiled by numba: its decorators and cache folder, SIMD lanes, Winograd's transforms."""
