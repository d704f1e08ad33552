"""Keys, hashes, signatures and the stream cipher of Dat v1 (DEP-0002, DEP-0010)."""
