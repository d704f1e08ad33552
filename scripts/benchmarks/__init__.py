"""What `scripts/bench` measures: one module a part, and the table that they fill."""
