// The whole life of a binding with a foreign stack, against the mock gateway: life.mjs jssip|sipjs|linphone SIPWAKE PROFILE DIALECT
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { bridge } from './bridge.mjs';
import { listener, within } from './wait.mjs';
import { Companion } from './companion.mjs';

const [stack, sipwake, profile, dialect] = process.argv.slice(2);
const { Phone, transport = 'ws', tellsCallers = false } = await import(`./${stack}.mjs`);

const gateway = spawn(sipwake, ['gateway', '--listen', '127.0.0.1:0', '--profile', profile, '--json', '--exit-with-stdin']);
const { address, control } = JSON.parse(
  await new Promise((resolve) => createInterface({ input: gateway.stdout }).once('line', resolve)),
);
const port = Number(control.split(':')[1]);
const server = { socket: connect(port, '127.0.0.1'), waiting: new Map(), next: 1, pushes: [], pushed: null };
createInterface({ input: server.socket }).on('line', (line) => {
  const said = JSON.parse(line);
  if (said.event === 'push') {
    server.pushes.push(said.push);
    server.pushed?.();
  } else server.waiting.get(said.id)?.(said);
});
const ask = async (op, more = {}) => {
  const id = server.next++;
  const answer = new Promise((resolve) => server.waiting.set(id, resolve));
  server.socket.write(JSON.stringify({ id, op, ...more }) + '\n');
  const said = await within(answer, op);
  assert(said.ok, `${op}: ${said.error}`);
  return said;
};

const url = transport === 'ws' ? await bridge(...address.split(':')) : address;
const state = mkdtempSync(join(tmpdir(), 'beside-'));
const account = ['--aor', 'sip:alice@mock.example', '--transport', transport, '--server', url];
const command = [sipwake, 'beside', ...account, '--package', 'com.example.app', '--dialect', dialect, '--state-dir', state];

const { tell, until } = listener();
const instance = crypto.randomUUID();
const begin = (more, pending) => {
  const companion = new Companion([...command, ...more]);
  const phone = new Phone(url, companion, tell, { aor: 'sip:alice@mock.example', password: 'wonderland', pending, instance, folder: state });
  companion.onTold = (said) => said.event === 'register' && phone.register();
  return { companion, phone };
};

process.env.SIPWAKE_PASSWORD = 'wonderland';
const token = 'c-10-ap_Kt0:APA91bTokenOfThisPhone';
const first = begin(['--token', token]);
await first.phone.register();
const registered = await until((said) => said.verdict, 'registered');
assert.equal((await ask('bindings', { user: 'alice' })).bindings[0].push.token, token);

await ask('subscribe', { what: ['pushes'] });
await ask('sleep', { user: 'alice', close: false });
const { call } = await ask('place_call', { user: 'alice', push: 'asleep' });
if (server.pushes.length === 0) await within(new Promise((resolve) => (server.pushed = resolve)), 'a push');
const push = await first.companion.ask('push', { payload: server.pushes[0].payload });
// A push of RFC 8599 has no content: it leads to a REGISTER, and the INVITE rings.
const bare = Object.keys(server.pushes[0].payload).length === 0;
assert.equal(push.call === null, bare, 'a call is announced');
const { ringing } = await until((said) => said.ringing, 'the call');
assert(bare || ringing === push.call, 'one call, one name');
await ask('wait_call', { call, state: 'answered', timeout_ms: 120_000 });
const { messages } = await ask('messages');
const answers = messages.filter(({ text }) => text.startsWith('SIP/2.0 200') && /^CSeq: *\d+ INVITE/im.test(text));
assert(answers.length > 0 && answers.every(({ text }) => /pn-prid/i.test(text) === tellsCallers), 'pn-* are in no Contact but the REGISTER\'s');
await ask('bye', { call });
assert.equal((await until((said) => said.over, 'its end')).over, ringing);
assert.equal((await first.companion.ask('push', { payload: server.pushes[0].payload })).call, null, 'no ghost');

// It logs out while the server is down, and is killed. Another process delivers the log-out.
await ask('set_habits', { habits: ['silent'] });
assert.equal((await first.companion.ask('log_out')).durable, true);
first.companion.onTold = () => {};
await first.companion.close();
await first.phone.kill();
await ask('set_habits', { habits: [] });
const second = begin(['--pending'], true);
const gone = await until((said) => said.next === 'logged_out', 'the log-out');
const { bindings } = await ask('bindings', { user: 'alice' });
assert(bindings.every((left) => !left.registered && !left.push), JSON.stringify(bindings));
await second.companion.close();
await second.phone.kill();
// Violations of the stacks: JsSIP uses another Call-ID in each process, SIP.js answers a nonce again with the same count.
const theirs = ['call-id-changed', 'nc-not-growing'];
const { violations } = await ask('violations');
assert.deepEqual(violations.filter(({ kind }) => !theirs.includes(kind)), []);
console.log(`${stack} at ${profile} by ${dialect}: push ${registered.verdict.standing}, woken, one name, logged out (${gone.removed})`);
gateway.stdin.end();
server.socket.destroy();
rmSync(state, { recursive: true });
process.exit(0);
