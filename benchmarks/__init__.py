"""What a contributor runs to see that a change costs nothing: `python -m benchmarks`. docs/performance.md says more."""
