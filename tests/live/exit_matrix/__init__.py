"""Every server, worker model and kind of process, times every way it ends.

`python -m tests.live.exit_matrix` plays each row against a real ingest, the inspector, and
prints what became of the events. A row is a value (`rows`) with a function that plays it on
a `stage`; to add some, write a module with a list of them and name it in `catalogue`.
"""
