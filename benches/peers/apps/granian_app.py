"""granian's own protocol, RSGI."""

CLOSE, BYTES, TEXT = 0, 1, 2

transports = set()


async def app(scope, protocol):
    """Serves one request."""
    if scope.proto == "http":
        protocol.response_str(200, [("content-type", "text/plain")], "hello")
        return
    transport = await protocol.accept()
    if scope.path == "/broadcast":
        await broadcast(transport)
    else:
        await echo(transport)
    protocol.close()


async def echo(transport):
    """Sends back what comes."""
    while True:
        message = await transport.receive()
        if message.kind == CLOSE:
            return
        if message.kind == TEXT:
            await transport.send_str(message.data)
        else:
            await transport.send_bytes(message.data)


async def broadcast(transport):
    """Sends what comes to all."""
    transports.add(transport)
    await transport.send_str("joined")
    try:
        while True:
            message = await transport.receive()
            if message.kind == CLOSE:
                return
            for other in list(transports):
                await other.send_str(message.data)
    finally:
        transports.discard(transport)
