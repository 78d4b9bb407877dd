"""The broker: what web processes and relays agree on. Only kombu's side of it knows kombu."""
