"""Benchmark: what `lungsev-run bench` and the scripts in benchmarks/ measure."""
