"""Lobbies in the running daemon: the archives behind them, who hosts, who has joined, the peers."""
