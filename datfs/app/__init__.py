"""The running datfs: parts put together, events, status, the control socket."""
