"""`manage.py datalyr`."""
