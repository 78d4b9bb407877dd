"""The demo: an inspector, three shops under real servers, and visitors who check them.

__main__ ─► town (inspector, shops) ─► child (one process)
    └─────► check ─► visitor (a browser) ─► page (what it reads)
              └────► ledger (what was tracked, and did it arrive?)
"""
