"""The side-by-side benchmark: this library, its peers and the floor. `python -m benchmarks -h`."""
