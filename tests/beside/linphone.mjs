// Debian's linphonec (liblinphone 5.1) beside the companion. It only takes the tags from its configuration: each REGISTER that the
// companion asks for is a process of its own, as after a push. The configuration cannot hold a header. Its log has what it receives.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const transport = 'udp';
// Against RFC 8599 section 4.1 it answers INVITEs with the Contact that it registered.
export const tellsCallers = true;

const logged = /^(linphonec> )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3} /;

const freePort = async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
};

export class Phone {
  constructor(server, companion, tell, user) {
    Object.assign(this, { server, companion, tell, user, calls: new Map(), last: Promise.resolve() });
    process.on('exit', () => this.linphone?.kill('SIGKILL'));
  }

  register() {
    return (this.last = this.last.then(() => this.again()));
  }

  async again() {
    if (this.dead) return;
    const say = await this.companion.ask('register');
    // The Contact identifies a binding, so a later process must use the same Contact to remove it.
    const bound = /^sip:[^@]*@[^:;]*:(\d+)(.*)$/.exec(say.contact ?? '');
    this.port ??= Number(bound?.[1]) || (await freePort());
    if (!this.user.pending && !this.known) {
      this.known = `sip:alice@127.0.0.1:${this.port};transport=udp`;
      await this.companion.ask('contact', { contact: this.known });
    }
    const params = (bound?.[2] ?? say.uri_params).replace(';transport=udp', '');
    await this.stop();
    if (!this.dead) this.start(this.configuration(say, params.slice(1), say.contact_params.slice(1), await freePort()));
  }

  // It would print a port of -1, any port, as it is. With a GRUU it would answer calls, and not every server that gives one routes it.
  // With `reg_expires=0` it removes the binding without a registration.
  configuration(say, params, header, media) {
    return `[sip]
sip_port=${this.port}
sip_tcp_port=-1
sip_tls_port=-1
use_ipv6=0
supported=replaces, outbound
guess_hostname=0
default_proxy=0
[proxy_0]
reg_proxy=<sip:${this.server};transport=udp>
reg_route=<sip:${this.server};transport=udp;lr>
reg_identity=<${this.user.aor}>
reg_sendregister=1
reg_expires=${say.removes ? 0 : say.expires}
contact_uri_parameters=${params}
contact_parameters=${header}
push_notification_allowed=0
publish=0
[auth_info_0]
username=alice
passwd=${this.user.password}
[rtp]
audio_rtp_port=${media}
[video]
enabled=0
[misc]
uuid=${this.user.instance}
`;
  }

  start(configuration) {
    const folder = join(this.user.folder, 'linphone');
    // It creates its database in this folder, and without one it opens no socket.
    mkdirSync(join(folder, '.local/share/linphone'), { recursive: true });
    writeFileSync(join(folder, 'linphonerc'), configuration);
    const { XDG_DATA_HOME, XDG_CONFIG_HOME, ...env } = process.env;
    const options = { cwd: folder, env: { ...env, HOME: folder }, stdio: ['pipe', 'pipe', 'ignore'] };
    const linphone = spawn('linphonec', ['-c', join(folder, 'linphonerc'), '-d', '6'], options);
    this.linphone = linphone;
    this.gone = once(linphone, 'exit');
    this.shown = new Promise((resolve) => (this.show = resolve));
    let message = null;
    createInterface({ input: linphone.stdout }).on('line', (line) => {
      if (this.linphone !== linphone) return;
      if (/assigned id \d+/.test(line)) this.show(/assigned id (\d+)/.exec(line)[1]);
      if (!logged.test(line)) return message?.push(line);
      if (message) this.heard(message.join('\r\n') + '\r\n');
      message = /: received \[\d+\] new bytes from/.test(line) ? [] : null;
    });
  }

  async heard(message) {
    if (/^SIP\/2\.0 [2-6]/.test(message) && /^CSeq: *\d+ REGISTER/im.test(message)) {
      const means = await this.companion.ask('heard', { message });
      // It responds to the challenge by itself, with its former tags.
      if (means.next === 'again') await this.register();
      else if (means.next !== 'authenticate' && means.next !== 'old') this.tell(means);
    }
    if (message.startsWith('INVITE')) await this.invited(message);
    const call = this.calls.get(/^Call-ID: *(.*?)\r$/im.exec(message)?.[1]);
    if (call && message.startsWith('CANCEL')) await this.companion.ask('cancelled', { call, message });
    if (call && message.startsWith('BYE')) {
      await this.companion.ask('ended', { call, how: 'hung_up_by_caller' });
      this.tell({ over: call });
    }
  }

  async invited(message) {
    const says = await this.companion.ask('invited', { message });
    if (says.again) return;
    const id = await this.shown;
    // It chooses the status of a refusal itself: 603.
    if (says.do === 'refuse') return this.order(`terminate ${id}`);
    this.calls.set(/^Call-ID: *(.*?)\r$/im.exec(message)[1], says.call);
    this.order(`answer ${id}`);
    await this.companion.ask('answered', { call: says.call });
    this.tell({ ringing: says.call });
  }

  order(line) {
    this.linphone.stdin.write(`${line}\n`);
  }

  // Like the end of a killed process: `quit` would unregister.
  async stop() {
    const { linphone, gone } = this;
    this.linphone = null;
    linphone?.kill('SIGKILL');
    await gone;
  }

  kill() {
    this.dead = true;
    return this.stop();
  }
}
