// The life of a binding with a foreign stack at a real Kamailio: kamailio.mjs jssip|sipjs|linphone SIPWAKE KAMAILIO FILES,
// where FILES is the folder of its configuration. A call waits there (tsilo) until the woken phone registers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Companion } from './companion.mjs';
import { listener, within } from './wait.mjs';

const [stack, sipwake, program, files] = process.argv.slice(2);
const { Phone, transport = 'ws', tellsCallers = false } = await import(`./${stack}.mjs`);
const password = 'wonderland';
const token = 'c-10-ap_Kt0:APA91bTokenOfThisPhone';
const state = mkdtempSync(join(tmpdir(), 'beside-'));

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const port = await freePort();
const tls = /^(listen=tls|enable_tls|loadmodule "tls|modparam\("tls).*$/gm;
const values = { PORT: port, FOLDER: state, PASSWORD: password, RECORD_ROUTE: 'record_route();', ALGORITHM: '' };
// A placeholder of the configuration that is not filled in would be read as a command.
const fill = (text) =>
  text.replace(/^[^#].*$/gm, (line) =>
    line.replace(/@([A-Z_]+)@/g, (_, name) => {
      assert(name in values, `kamailio.cfg asks for ${name}`);
      return values[name];
    }),
  );
const config = readFileSync(join(files, 'kamailio.cfg'), 'utf8').replace(tls, '');
writeFileSync(join(state, 'kamailio.cfg'), fill(config));
const log = openSync(join(state, 'log'), 'w');
const options = ['-f', join(state, 'kamailio.cfg'), '-DD', '-E', '-m', '64', '-M', '8', '-w', state, '-Y', state];
const kamailio = spawn(program, options, { stdio: ['ignore', 'ignore', log] });
// Nothing may stay, however this ends. On SIGTERM, Kamailio ends its children.
process.on('exit', () => {
  kamailio.kill();
  rmSync(state, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
kamailio.on('exit', (code) => code && console.error(readFileSync(join(state, 'log'), 'utf8').split('\n').slice(-20).join('\n')));

const rpc = async (method, params = []) => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch(`http://127.0.0.1:${port}/RPC`, { method: 'POST', body, headers })).json();
};
const patiently = async (question, what) => {
  const begun = Date.now();
  for (;;) {
    const answer = await question().catch(() => null);
    if (answer) return answer;
    assert(Date.now() - begun < 120_000, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
await patiently(() => rpc('core.version'), 'Kamailio');
const contacts = async () =>
  ((await rpc('ul.lookup', ['location', 'alice'])).result?.Contacts ?? []).map(({ Contact }) => Contact.Address);

process.env.SIPWAKE_PASSWORD = password;
const url = transport === 'ws' ? `ws://127.0.0.1:${port}` : `127.0.0.1:${port}`;
const account = ['--aor', 'sip:alice@example.com', '--transport', transport, '--server', url, '--dialect', 'rfc8599'];
const command = [sipwake, 'beside', ...account, '--package', 'my-project', '--state-dir', state];
const instance = crypto.randomUUID();
const { tell, until } = listener();
const begin = (more, pending) => {
  const companion = new Companion([...command, ...more]);
  const phone = new Phone(url, companion, tell, { aor: 'sip:alice@example.com', password, pending, instance, folder: state });
  companion.onTold = (said) => said.event === 'register' && phone.register();
  return { companion, phone };
};
const end = async ({ companion, phone }) => {
  companion.onTold = () => {};
  await companion.close();
  await phone.kill();
};

// A caller in a few lines: each message that it gets, and each that it sends.
const socket = createSocket('udp4');
await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
const at = `127.0.0.1:${socket.address().port}`;
const line = (message, name) => [...message.matchAll(new RegExp(`^${name} *: *(.*?)\r$`, 'gim'))].map(([, value]) => value);
const heard = listener();
socket.on('message', (data) => {
  const message = String(data);
  heard.tell(message);
  if (message.startsWith('BYE')) send(['SIP/2.0 200 OK', ...['Via', 'From', 'To', 'Call-ID', 'CSeq'].flatMap((name) => line(message, name).map((value) => `${name}: ${value}`))]);
});
const sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n';
const send = (lines, body = '') =>
  socket.send([...lines, `Content-Length: ${body.length}`, '', body].join('\r\n'), port, '127.0.0.1');
const request = (method, cseq, target, to, more = [], body = '') => {
  const lines = [
    `${method} ${target} SIP/2.0`,
    `Via: SIP/2.0/UDP ${at};rport;branch=z9hG4bK${crypto.randomUUID()}`,
    `From: "Bob" <sip:bob@example.com>;tag=bob1`,
    `To: ${to}`,
    'Call-ID: call-at-kamailio',
    `CSeq: ${cseq} ${method}`,
    'Max-Forwards: 70',
    `Contact: <sip:bob@${at}>`,
    ...more,
  ];
  send(lines, body);
};

const first = begin(['--token', token]);
await first.phone.register();
const { verdict } = await until((said) => said.verdict, 'registered');
assert((await contacts()).every((contact) => contact.includes(`pn-prid=${token}`)), String(await contacts()));
assert.equal((await contacts()).length, 1);

// The phone is killed, its binding expires, and somebody calls. Then the push starts the phone.
await end(first);
await rpc('ul.rm', ['location', 'alice']);
const described = ['Content-Type: application/sdp'];
request('INVITE', 1, 'sip:alice@example.com', '<sip:alice@example.com>', described, sdp);
await patiently(async () => (await rpc('ts.lookup', ['alice'])).result, 'the call that waits');
const second = begin(['--token', token]);
const push = await second.companion.ask('push', { payload: { ntype: '0', nfrom: 'bob', ncallid: 'call-at-kamailio', ntouser: 'alice' } });
assert(push.call, 'a call is announced');
const { ringing } = await until((said) => said.ringing, 'the call');
assert.equal(ringing, push.call, 'one call, one name');
const answer = await heard.until((message) => /^SIP\/2\.0 200/.test(message) && /INVITE/.test(line(message, 'CSeq')[0]), 'an answer');
const [contact] = line(answer, 'Contact');
assert.equal(/pn-prid/.test(contact), tellsCallers, contact);
const target = /<([^>]*)>/.exec(contact)[1];
const routes = line(answer, 'Record-Route').flatMap((value) => value.split(',')).reverse().map((value) => `Route: ${value.trim()}`);
request('ACK', 1, target, line(answer, 'To')[0], routes);
request('BYE', 2, target, line(answer, 'To')[0], routes);
assert.equal((await until((said) => said.over, 'its end')).over, push.call);

// It logs out, and is killed before anything is sent. Another process delivers the log-out.
second.companion.onTold = () => {};
assert.equal((await second.companion.ask('log_out')).durable, true);
await end(second);
assert.equal((await contacts()).length, 1, 'nothing was sent');
const third = begin(['--pending'], true);
const gone = await until((said) => said.next === 'logged_out', 'the log-out');
assert.deepEqual(await contacts(), []);
await end(third);
console.log(`${stack} at Kamailio: push ${verdict.standing}, woken, one name, logged out (${gone.removed})`);
await new Promise((resolve) => kamailio.on('exit', resolve).kill());
process.exit(0);
