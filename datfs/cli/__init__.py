"""The datfs command."""
