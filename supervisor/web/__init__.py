"""A web page about one service, and its metrics: the extra `[web]`.

- `server`: listens on a socket, and ends in order.
- `app`: what is answered to which request.
- `admission`: who may ask.
- `observer`: asks the service, once for all who want to know at the same time.
- `metrics`: the status of a service as metrics of Prometheus. Pure.
- `page/`: the page, as the browser gets it.

`cli` imports this; it imports `service`, `search` and `terminal`. It is the only room that may load
starlette, uvicorn and prometheus_client.
"""
