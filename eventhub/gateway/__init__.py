"""Gateway: the doors. HTTP and WebSockets come in here, and nothing is decided here.

`gateway` runs it, `app` says which URL goes where, `route` is one endpoint at work. `rows` answers
HTTP, `changes` a poll, `live` opens WebSockets and event streams; `websocket` and `sse` are one
client's `connection`, and `inbox` stores what it sends, in its `turns`.
"""
