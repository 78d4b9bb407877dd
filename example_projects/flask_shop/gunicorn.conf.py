"""Run the shop under gunicorn: `gunicorn shop:app` in this folder."""

bind = "127.0.0.1:8002"
worker_class = "gthread"
threads = 4
control_socket_disable = True
