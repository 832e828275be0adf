"""Gateway: WebSocket, SSE and HTTP clients on one side, streams and snapshots on the other."""
