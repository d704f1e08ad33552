"""Signals of a session: beacon, offers, answers, and the rules that connect two people.

Cores without I/O: `signal`, `join`, `names`, `writers`, `machine`, `room`, `hosting`, `joining`,
`admission`, `password`, `throttle`, `union`, `archive_carrier`. Shells on trio over the protocols
of `ports`: `host`, `gate`, `door`, `guest`, `proving`, `admission_request`, `signal_reader`.
"""
