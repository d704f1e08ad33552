"""Replication over TCP: who is connected, who has what, what is asked of whom."""
