"""What datfs keeps on disk: its home directory, locks, secret keys and length marks."""
