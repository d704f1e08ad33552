"""The mounted tree: the only place where pyfuse3 lives."""
