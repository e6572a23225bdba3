"""One script a question. Figures they wrote are in `results/`."""
