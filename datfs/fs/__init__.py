"""The mounted tree and the FUSE server that shows it; pyfuse3 is imported here alone."""
