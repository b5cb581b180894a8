// A WebSocket in front of a SIP server on TCP (RFC 7118). It passes on each message unchanged.
import { connect } from 'node:net';
import { WebSocketServer } from 'ws';

// The server's bytes, split into messages by their Content-Length.
const cut = (stream, onMessage) => {
  let rest = Buffer.alloc(0);
  stream.on('data', (piece) => {
    rest = Buffer.concat([rest, piece]);
    for (;;) {
      while (rest[0] === 13 || rest[0] === 10) rest = rest.subarray(1);
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/^(?:Content-Length|l) *: *(\d+)/im.exec(rest.subarray(0, head).toString())?.[1] ?? 0);
      if (rest.length < head + 4 + length) return;
      onMessage(rest.subarray(0, head + 4 + length).toString());
      rest = rest.subarray(head + 4 + length);
    }
  });
};

export const bridge = async (host, port) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'sip' });
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (socket) => {
    const there = connect(port, host);
    cut(there, (message) => socket.send(message));
    socket.on('message', (data) => there.write(data));
    for (const [from, to] of [[socket, there], [there, socket]]) {
      from.on('close', () => (to === there ? to.destroy() : to.close()));
      from.on('error', () => {});
    }
  });
  return `ws://127.0.0.1:${server.address().port}`;
};
