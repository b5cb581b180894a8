// `sipwake beside` as a process: a request and its result are one line each. Other lines go to `onTold`.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Companion {
  constructor(command, onTold = () => {}) {
    this.process = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.waiting = [];
    this.onTold = onTold;
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      const said = JSON.parse(line);
      if (said.event) this.onTold(said);
      else this.waiting.shift()(said);
    });
  }

  async ask(op, more = {}) {
    const answer = new Promise((resolve) => this.waiting.push(resolve));
    this.process.stdin.write(JSON.stringify({ op, ...more }) + '\n');
    const said = await answer;
    if (!said.ok) throw new Error(`${op}: ${said.error}`);
    return said;
  }

  close() {
    const gone = new Promise((resolve) => this.process.on('exit', resolve));
    this.process.kill('SIGKILL');
    return gone;
  }
}

export const paramsOf = (text) =>
  text.split(';').filter(Boolean).map((param) => {
    const at = param.indexOf('=');
    return at < 0 ? [param, null] : [param.slice(0, at), param.slice(at + 1)];
  });
