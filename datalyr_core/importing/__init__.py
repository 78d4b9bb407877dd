"""Importing: historical events out of a file, each of which is delivered.

    source ─► reading ─► mapping ─► client (with backpressure) ─► carrier ─► ingest
                                      ledger ◄── told what is settled ──┘
                                        └─► state, rejects

One thread reads and tracks; the main thread looks after signals, progress and the end.
"""
