"""What Datalyr costs, measured beside something that everybody knows.

    python -m benchmarks            everything, as a table
    python -m benchmarks.NAME       one of them, e.g. `track`

Modules with an underscore are shared; `programs` are what runs in processes of its own.
"""
