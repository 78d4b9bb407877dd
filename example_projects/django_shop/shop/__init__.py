"""A small shop on Django that tells Datalyr what its visitors do."""
