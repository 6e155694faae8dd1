"""flask-sock: an ordinary function with a loop."""

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)
sockets = set()


@app.route("/hello")
def hello():
    """The page of the HTTP case."""
    return "hello"


@sock.route("/echo")
def echo(ws):
    """Sends back what comes."""
    while True:
        ws.send(ws.receive())


@sock.route("/broadcast")
def broadcast(ws):
    """Sends what comes to all."""
    sockets.add(ws)
    ws.send("joined")
    try:
        while True:
            message = ws.receive()
            for other in list(sockets):
                other.send(message)
    finally:
        sockets.discard(ws)
