// SIP.js 0.21 beside the companion. It writes a new Contact for each request, so what belongs only into the REGISTER can be
// removed after it. It shows final responses, but hides the challenge.
import { Registerer, UserAgent } from 'sip.js';
import { WebSocket } from 'ws';

import { paramsOf } from './companion.mjs';

export const hides = 'the challenge';

globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { origin: 'https://app.example' });
  }
};

const sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n';

// Node has no WebRTC. This replacement describes no media.
const description = () => ({
  close() {},
  getDescription: async () => ({ body: sdp, contentType: 'application/sdp' }),
  hasDescription: (type) => type === 'application/sdp',
  rollbackDescription: async () => {},
  setDescription: async () => {},
  sendDtmf: () => false,
});

export class Phone {
  constructor(url, companion, tell, user) {
    Object.assign(this, { url, companion, tell, user });
  }

  async start(say) {
    // The Contact identifies a binding, so a later process must use the same Contact to remove it.
    const bound = say.contact && UserAgent.makeURI(say.contact);
    this.ua = new UserAgent({
      ...(bound && { contactName: bound.user, viaHost: bound.host }),
      uri: UserAgent.makeURI(this.user.aor),
      authorizationUsername: 'alice',
      authorizationPassword: this.user.password,
      transportOptions: { server: this.url },
      sessionDescriptionHandlerFactory: description,
      delegate: { onInvite: (invitation) => this.invited(invitation) },
      logLevel: 'error',
    });
    this.registerer = new Registerer(this.ua, { expires: 600 });
    await this.ua.start();
    if (!this.user.pending) await this.companion.ask('contact', { contact: String(this.ua.contact.uri) });
  }

  async register() {
    const say = await this.companion.ask('register');
    await (this.started ??= this.start(say));
    const hear = ({ message }) => this.heard(message, say.number);
    const options = {
      requestOptions: {
        extraHeaders: say.headers.map(([name, value]) => `${name}: ${value}`),
        extraContactHeaderParams: say.contact_params.split(';').filter(Boolean),
      },
      requestDelegate: { onAccept: hear, onReject: hear },
    };
    const params = paramsOf(say.uri_params);
    params.forEach(([name, value]) => this.ua.contact.uri.setParam(name, value));
    const sent = say.removes ? this.registerer.unregister(options) : this.registerer.register(options);
    // RFC 8599 section 4.1: only in a REGISTER, whose Contact is complete here.
    params.forEach(([name]) => this.ua.contact.uri.deleteParam(name));
    await sent;
  }

  async heard(message, number) {
    const headers = Object.entries(message.headers).flatMap(([name, all]) => all.map(({ raw }) => [name, raw]));
    const { statusCode: status, reasonPhrase: phrase } = message;
    const means = await this.companion.ask('heard', { number, status, phrase, headers });
    if (means.next === 'again') setImmediate(() => this.register());
    else this.tell(means);
  }

  async invited(invitation) {
    const says = await this.companion.ask('invited', { message: invitation.request.data });
    if (says.do === 'refuse') return invitation.reject({ statusCode: says.status });
    invitation.delegate = {
      onBye: async (bye) => {
        await bye.accept();
        await this.companion.ask('ended', { call: says.call, how: 'hung_up_by_caller' });
        this.tell({ over: says.call });
      },
    };
    await invitation.accept();
    await this.companion.ask('answered', { call: says.call });
    this.tell({ ringing: says.call });
  }

  // Ends like a killed process: `ua.stop()` would unregister.
  kill() {
    return this.ua.transport.dispose();
  }
}
