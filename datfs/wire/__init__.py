"""The replication protocol of Dat v1 without I/O (DEP-0010, DEP-0006)."""
