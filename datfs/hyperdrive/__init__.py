"""Archives of files over two feeds, as hyperdrive 9 keeps them (DEP-0002, DEP-0007)."""
