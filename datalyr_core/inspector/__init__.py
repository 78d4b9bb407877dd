"""A local ingest that a person can watch: `datalyr inspect`.

```
request ─► security ─► ingest ─► contract (what is wrong with it?)
                          │  └─► faults   (should it fail on purpose?)
                          ▼
                      inspection ─► store (newest events, repeated ids)
                          │
                          └─► bell ─► stream (server-sent events) ─► static/ (the page)
```

It reads the wire by itself and imports nothing else of the suite, so that a mistake of the client
cannot hide in a shared helper. `server.running()` runs one inside a test; everything but this
module, `contract`, `calls`, `wire_json`, `faults` and `store` needs the extra `inspector`.
"""
