"""Gateway: HTTP, WebSockets and server-sent events. What they mean is decided elsewhere.

`gateway` runs it. `sockets` are bound first; `listener` accepts connections, `arrivals` limits them
until `server` has their first request, `front` has the application of the moment, and `app`
dispatches requests to endpoints. A `route` is one endpoint: it admits
clients. `rows` answers GET and writes, with what `body` reads and `content` parses; `changes`
answers polls. `live` opens connections: `websocket` and `sse` are one client's `connection`.
`inbox` stores what a WebSocket sends, in its `turns`.
"""
