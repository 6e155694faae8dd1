// `ws_app.mjs PORT`: ws on Node.
import { createServer } from "node:http";
import { createRequire } from "node:module";

// Installed outside of this folder.
const { WebSocketServer, WebSocket } = createRequire(process.env.BENCH_MODULES + "/")("ws");

const server = createServer((_request, response) => response.end("hello"));
const sockets = new WebSocketServer({ server, perMessageDeflate: true });
const room = new Set();

sockets.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url !== "/broadcast") {
    socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
    return;
  }
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("message", (message, isBinary) => {
    for (const other of room) {
      if (other.readyState === WebSocket.OPEN) other.send(message, { binary: isBinary });
    }
  });
  socket.send("joined");
});

server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
