"""`socketify_app.py PORT`: socketify, which is uWebSockets."""

import sys

from socketify import App, CompressOptions, OpCode

LIMITS = {
    "compression": CompressOptions.SHARED_COMPRESSOR,
    "max_payload_length": 16 << 20,
    "max_backpressure": 64 << 20,
    "idle_timeout": 120,
}

app = App()
app.get("/hello", lambda response, _request: response.end("hello"))


def joined(ws):
    """A client has come."""
    ws.subscribe("all")
    ws.send("joined", OpCode.TEXT)


def said(_ws, message, opcode):
    """A message to all."""
    app.publish("all", message, opcode)


app.ws("/echo", {**LIMITS, "message": lambda ws, message, opcode: ws.send(message, opcode, True)})
app.ws("/broadcast", {**LIMITS, "open": joined, "message": said})
app.listen(int(sys.argv[1]), lambda _config: None)
app.run()
