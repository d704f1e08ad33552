"""Signals of a session: beacon, offers, answers, and the rules that connect two people."""
