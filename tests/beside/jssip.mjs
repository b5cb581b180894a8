// JsSIP 3 beside the companion. It makes its Contact once for each UA, from `contact_uri`, so a new token needs a new UA. Its
// socket shows what its events hide: that interface is JsSIP's own (JsSIP.Socket).
import JsSIP from 'jssip';
import { WebSocket } from 'ws';

import { paramsOf } from './companion.mjs';

export const hides = 'nothing, if the socket is ours';

// JsSIP's documentation describes this interface: `via_transport`, `url`, `sip_uri`, connect, disconnect, send and three callbacks.
class Socket {
  constructor(url, heard) {
    Object.assign(this, { url, heard, via_transport: 'WS', sip_uri: `sip:${new URL(url).host};transport=ws` });
  }
  connect() {
    if (this.dead) return;
    this.ws = new WebSocket(this.url, 'sip', { origin: 'https://app.example' });
    this.ws.on('open', () => this.onconnect());
    this.ws.on('close', (code, reason) => this.ondisconnect(code !== 1000, code, String(reason)));
    this.ws.on('error', () => {});
    this.ws.on('message', (data) => {
      this.heard(String(data));
      this.ondata(String(data));
    });
  }
  disconnect() {
    this.ws?.close();
  }
  send(message) {
    this.ws.send(message);
    return true;
  }
  isConnected() {
    return this.ws?.readyState === WebSocket.OPEN;
  }
  isConnecting() {
    return this.ws?.readyState === WebSocket.CONNECTING;
  }
}

// Node has no WebRTC. This replacement describes no media.
class Peer {
  static sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n';
  iceGatheringState = 'complete';
  signalingState = 'stable';
  addEventListener() {}
  removeEventListener() {}
  getSenders() {
    return [];
  }
  close() {
    this.signalingState = 'closed';
  }
  async setRemoteDescription() {}
  async setLocalDescription() {}
  async createAnswer() {
    return { type: 'answer', sdp: Peer.sdp };
  }
  get localDescription() {
    return { type: 'answer', sdp: Peer.sdp };
  }
}
globalThis.window = globalThis;
globalThis.RTCPeerConnection = Peer;
globalThis.RTCSessionDescription = class {
  constructor(init) {
    Object.assign(this, init);
  }
};

export class Phone {
  constructor(url, companion, tell, user) {
    Object.assign(this, { url, companion, tell, user, calls: new Map() });
  }

  async register() {
    const say = await this.companion.ask('register');
    if (!this.ua) this.start(say);
    const registrator = this.ua.registrator();
    registrator.setExtraHeaders(say.headers.map(([name, value]) => `${name}: ${value}`));
    registrator.setExtraContactParams(Object.fromEntries(paramsOf(say.contact_params)));
    await this.connected;
    if (!say.removes) return this.ua.register();
    // It sends no removal before this process has registered successfully.
    if (!this.ua.isRegistered()) {
      const registered = new Promise((resolve) => this.ua.once('registered', resolve));
      this.unheard = true;
      this.ua.register();
      await registered;
      this.unheard = false;
    }
    this.ua.unregister();
  }

  start(say) {
    this.socket = new Socket(this.url, (message) => this.heard(message));
    this.ua = new JsSIP.UA({
      sockets: [this.socket],
      uri: this.user.aor,
      password: this.user.password,
      // The Contact identifies a binding, so a later process must use the same Contact to remove it.
      contact_uri: say.contact ?? `sip:alice-js@${Math.random().toString(36).slice(2)}.invalid;transport=ws${say.uri_params}`,
      instance_id: this.user.instance,
      register: false,
      register_expires: say.expires || 600,
      session_timers: false,
    });
    // RFC 8599 section 4.1: only in a REGISTER, whose Contact is complete here.
    paramsOf(say.uri_params).forEach(([name]) => this.ua.contact.uri.deleteParam(name));
    this.connected = new Promise((resolve) => this.ua.once('connected', resolve));
    if (!this.user.pending) this.companion.ask('contact', { contact: String(this.ua.contact.uri) });
    this.ua.on('newRTCSession', ({ session, request }) => this.invited(session, request));
    this.ua.start();
  }

  async heard(message) {
    if (this.unheard || !message.startsWith('SIP/2.0 ') || !/^CSeq: *\d+ REGISTER/im.test(message)) return;
    const means = await this.companion.ask('heard', { message });
    // It responds to the challenge by itself, with its former tags.
    if (means.next === 'again') await this.register();
    else if (means.next !== 'authenticate' && means.next !== 'old') this.tell(means);
  }

  async invited(session, request) {
    if (session.direction !== 'incoming') return;
    const says = await this.companion.ask('invited', { message: request.data });
    if (says.do === 'refuse') return session.terminate({ status_code: says.status });
    session.on('ended', async () => {
      await this.companion.ask('ended', { call: says.call, how: 'hung_up_by_caller' });
      this.tell({ over: says.call });
    });
    session.answer({ mediaConstraints: { audio: false, video: false } });
    await this.companion.ask('answered', { call: says.call });
    this.tell({ ringing: says.call });
  }

  // Ends like a killed process: `ua.stop()` would unregister.
  kill() {
    this.socket.dead = true;
    this.socket.ws.terminate();
  }
}
