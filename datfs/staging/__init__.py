"""The layer that makes an own archive editable: what is written but not a version yet."""
