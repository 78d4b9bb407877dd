"""A soak: mixed load for minutes, with random kills, forks, faults and clock steps.

`python -m tests.live.soak --seed N --minutes M` plays a plan that the seed decides (`plan`)
on real servers (`servers`) under the load of visitors (`visitors`). The applications write
what they accept and what they are told was dropped into a ledger of their own (`ledger`), and
the ingest what arrives (`ingest`); afterwards the two are compared (`verdict`), and memory,
threads and file descriptors over time as well (`gauges`).
"""
