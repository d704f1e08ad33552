"""Profile, friends and session of a person, as files of an identity archive.

Values, their JSON forms and the rules of time; reading and writing the files is the daemon's.
"""
