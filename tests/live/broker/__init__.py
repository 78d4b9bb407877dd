"""A web's events through a broker and its relays, while relays and broker are killed."""
