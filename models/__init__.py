"""Things with names: records, people, segments, changes, errors. Imports nothing of ours and does no I/O."""
