"""Signals of a session: beacon, offers, answers, and the rules that connect two people.

Cores without I/O: `signal`, `seal`, `host_sealing`, `guest_sealing`, `pinning`, `join`, `names`,
`writers`, `machine`, `room`, `hosting`, `joining`, `policy`, `admission`, `password`, `throttle`,
`union`, `archive_carrier`; `log_records`, `log_reading`, `log_order`, `log_carrier`, `log_lines`.
Shells on trio over the protocols of `ports`: `host`, `gate`, `door`, `guest`, `proving`,
`admission_request`, `signal_reader`.
"""
