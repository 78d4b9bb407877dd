"""What an ingest and the network can do to the client, fault by fault, on real sockets.

`python -m tests.faults` prints a row for each fault; the tests here hold every row to its
goal. A row runs in a process of its own: `row` lets an ingest be well, break and be well
again, and `hour` has an hour of the same fault pass on a simulated clock.
"""
