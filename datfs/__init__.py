"""datfs: Dat archives as directories, and files in them as live WebRTC connections."""

__version__ = "0.1.0"
