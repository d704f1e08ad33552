"""What is being written to an own archive and is not a version yet: dirty files, spool, journal."""
