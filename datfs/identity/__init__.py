"""Profile, friends and session of a person, as files of an identity archive."""
