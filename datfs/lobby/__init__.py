"""Signals of a session: beacon, offers, answers, and the rules that connect two people.

Cores without I/O: `signal`, `join`, `names`, `writers`, `machine`, `room`, `hosting`, `joining`,
`admission`, `union`, `archive_carrier`; `log_records`, `log_reading`, `log_order`, `log_carrier`,
`log_lines`. Shells on trio over the protocols of `ports`: `host`,
`gate`, `guest`, `admission_request`, `signal_reader`.
"""
