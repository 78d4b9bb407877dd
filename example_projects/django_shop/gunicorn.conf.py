"""Run the shop under gunicorn: `SECRET_KEY=… gunicorn shop.wsgi` in this folder."""

bind = "127.0.0.1:8001"
workers = 2  # each has a client of its own, which begins anew after the fork
control_socket_disable = True
