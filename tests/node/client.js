// A client of the `ws` package under remote control: opens the WebSocket that its one argument describes, does what each
// line of standard input says, and tells each event in a line of standard output. Both are JSON; payloads are in base64.
//
// Argument: {"url", "protocols", "headers", "version", "deflate"}, the last one false or the options of ws.
// Orders: {"send": {"data", "binary", "fin"}}, {"ping": data}, {"close": [code, reason]}.
// Events: ["open", subprotocol, extensions], ["refused", status, headers], ["text", data], ["binary", data],
// ["ping", data], ["pong", data], ["close", code, reason], ["error", text].
"use strict";

const readline = require("node:readline");
const WebSocket = require("ws");

function tell(...event) {
  process.stdout.write(JSON.stringify(event) + "\n");
}

const given = JSON.parse(process.argv[2]);
const websocket = new WebSocket(given.url, given.protocols, {
  headers: given.headers,
  maxPayload: 0,
  perMessageDeflate: given.deflate,
  protocolVersion: given.version,
});
let extensions = "";

websocket.on("upgrade", (response) => {
  extensions = response.headers["sec-websocket-extensions"] || "";
});
websocket.on("open", () => tell("open", websocket.protocol, extensions));
websocket.on("unexpected-response", (request, response) => {
  tell("refused", response.statusCode, response.headers);
  response.destroy();
  process.exitCode = 0;
  orders.close();
});
websocket.on("message", (data, binary) => tell(binary ? "binary" : "text", data.toString("base64")));
websocket.on("ping", (data) => tell("ping", data.toString("base64")));
websocket.on("pong", (data) => tell("pong", data.toString("base64")));
websocket.on("error", (error) => tell("error", error.message));
websocket.on("close", (code, reason) => {
  tell("close", code, reason.toString());
  orders.close();
});

const orders = readline.createInterface({ input: process.stdin });
orders.on("line", (line) => {
  const { send, ping, close } = JSON.parse(line);
  if (send) {
    const data = Buffer.from(send.data, "base64");
    websocket.send(send.binary ? data : data.toString(), { binary: send.binary, fin: send.fin });
  } else if (close) {
    websocket.close(...close);
  } else {
    websocket.ping(Buffer.from(ping, "base64"));
  }
});
