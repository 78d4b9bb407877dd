"""The version matrix.

__main__ ─► runner (nox, one leg each) ─► noxfile.py ─► legs ─► requirements (pyproject.toml)
         └► table                                   └► pythons
"""
