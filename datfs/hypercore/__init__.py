"""Append-only signed feeds: Merkle tree, bitfield, SLEEP files, proofs (DEP-0002, DEP-0009)."""
