"""A SIP stack in a hundred lines with the companion beside it: it registers for push, wakes for a call, answers it, and logs out.

stack.py HOST:PORT USER PASSWORD COMMAND…, where COMMAND is `sipwake beside …`. Each line on standard input is a push as the push
service delivers it, or `log out`. Each line on standard output says what happened.
"""

import hashlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import uuid

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


class Lines:
    """Whole lines from a pipe. It never waits for more bytes than there are."""

    def __init__(self, pipe):
        self.pipe, self.rest, self.open = pipe.fileno(), b"", True

    def read(self):
        piece = os.read(self.pipe, 65536)
        self.open = bool(piece)
        *lines, self.rest = (self.rest + piece).split(b"\n")
        return [line.decode() for line in lines]


class Companion:
    """`sipwake beside` as a process: a request and its result are one line each. Other lines wait in `told`."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines, self.told = Lines(self.process.stdout), []

    def listen(self):
        said = [json.loads(line) for line in self.lines.read()]
        self.told += [line for line in said if "event" in line]
        return [line for line in said if "event" not in line]

    def ask(self, op, **more):
        self.process.stdin.write(json.dumps({"op": op, **more}).encode() + b"\n")
        self.process.stdin.flush()
        answers = []
        while not answers and self.lines.open:
            answers = self.listen()
        if not answers or not answers[0]["ok"]:
            raise RuntimeError(f"{op}: {answers}")
        return answers[0]


class Stack:
    def __init__(self, server, user, password, command):
        host, port = server.split(":")
        self.server, self.user, self.password = (host, int(port)), user, password
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.server)
        self.at = "%s:%d" % self.socket.getsockname()
        self.contact = f"sip:{user}@{self.at}"
        self.call_id, self.tag, self.cseq = uuid.uuid4().hex, uuid.uuid4().hex[:8], 0
        self.number, self.invites = 0, {}  # the REGISTER in flight; the ringing INVITE of each call
        self.companion = Companion(command)
        if "--pending" not in command:
            self.companion.ask("contact", contact=self.contact)

    def register(self, challenge=None, digest_uri=None):
        """Our own REGISTER, with the companion's tags."""
        say = self.companion.ask("register")
        self.number, self.cseq = say["number"], self.cseq + 1
        uri = say["request_uri"]
        lines = [f"REGISTER {uri} SIP/2.0", f"Via: SIP/2.0/UDP {self.at};branch=z9hG4bK{uuid.uuid4().hex};rport"]
        lines += [f"From: <sip:{self.user}@mock.example>;tag={self.tag}", f"To: <sip:{self.user}@mock.example>"]
        lines += [f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} REGISTER", "Max-Forwards: 70"]
        lines += [f"Contact: <{old}>;expires=0" for old in say["removed"]]
        contact = say["contact"] or self.contact + say["uri_params"]
        lines += [f"Contact: <{contact}>{say['contact_params']}", f"Expires: {say['expires']}"]
        lines += [f"{name}: {value}" for name, value in say["headers"]]
        if challenge:
            lines.append("Authorization: " + self.credentials(challenge, digest_uri or uri))
        self.send(lines)
        self.companion.ask("sent", number=self.number, call_id=self.call_id, cseq=self.cseq)

    def credentials(self, challenge, uri):
        asked = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge))
        digest = lambda text: hashlib.md5(text.encode()).hexdigest()
        ha1, ha2 = digest(f"{self.user}:{asked['realm']}:{self.password}"), digest(f"REGISTER:{uri}")
        nonce, cnonce = asked["nonce"], uuid.uuid4().hex
        middle = f"{nonce}:00000001:{cnonce}:auth" if "qop" in asked else nonce
        text = f'Digest username="{self.user}", realm="{asked["realm"]}", nonce="{nonce}", uri="{uri}", '
        text += f'response="{digest(f"{ha1}:{middle}:{ha2}")}", algorithm=MD5'
        return text + (f', qop=auth, nc=00000001, cnonce="{cnonce}"' if "qop" in asked else "")

    def send(self, lines, body=""):
        self.socket.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())

    def respond(self, request, status, more=(), body=""):
        copied = re.findall(r"(?im)^(?:Via|From|Call-ID|CSeq|Record-Route): .*?(?=\r)", request)
        to = re.search(r"(?im)^To: (.*?)\r", request).group(1)
        to += "" if ";tag=" in to else f";tag={self.tag}"
        self.send([f"SIP/2.0 {status} -", *copied, f"To: {to}", f"Contact: <{self.contact}>", *more], body)

    def responded(self, response):
        """Asks the companion what a response to our REGISTER means."""
        if response.startswith("SIP/2.0 1"):
            return
        means = self.companion.ask("heard", message=response)
        if means["next"] == "authenticate":
            challenge = re.search(r"(?im)^WWW-Authenticate: *Digest (.*?)\r", response).group(1)
            self.register(challenge, means["digest_uri"])
        elif means["next"] == "again":
            self.register()
        elif means["next"] in ("wait", "logged_out") or means["verdict"]:
            tell(what=means["next"], verdict=means["verdict"] and means["verdict"]["standing"], removed=means.get("removed"))

    def requested(self, request):
        method, call_id = request.split(" ")[0], re.search(r"(?im)^Call-ID: (.*?)\r", request).group(1)
        call = next((call for call, (known, _) in self.invites.items() if known == call_id), None)
        if method == "INVITE":
            says = self.companion.ask("invited", message=request)
            if says["do"] == "refuse":
                return self.respond(request, says["status"])
            self.invites[says["call"]] = (call_id, request)
            self.respond(request, 180)
            tell(what="ringing", call=says["call"])
            self.respond(request, 200, ["Content-Type: application/sdp"], SDP)  # this user answers at once
            self.companion.ask("answered", call=says["call"])
        elif method in ("BYE", "CANCEL", "OPTIONS"):
            self.respond(request, 200)
            if method == "BYE" and call:
                self.companion.ask("ended", call=call, how="hung_up_by_caller")
                self.invites.pop(call)
                tell(what="over", call=call)

    def run(self):
        orders = Lines(sys.stdin)
        while True:
            for told in self.companion.told[:]:
                self.companion.told.remove(told)
                if told["event"] == "register":
                    self.register()
                elif told["event"] == "refuse" and told["call"] in self.invites:
                    self.respond(self.invites.pop(told["call"])[1], told["status"])
            if self.companion.told:
                continue
            ready, _, _ = select.select([self.socket, orders.pipe, self.companion.lines.pipe], [], [])
            if self.socket in ready:
                message = self.socket.recv(65536).decode()
                (self.responded if message.startswith("SIP/2.0") else self.requested)(message)
            if self.companion.lines.pipe in ready:
                self.companion.listen()
            for order in orders.read() if orders.pipe in ready else []:
                if order == "log out":
                    tell(what="asked", durable=self.companion.ask("log_out")["durable"])
                else:
                    tell(what="push", call=self.companion.ask("push", payload=order)["call"])
            if not (orders.open and self.companion.lines.open):
                return


def tell(**what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    server, user, password, *command = sys.argv[1:]
    stack = Stack(server, user, password, command)
    if "--pending" not in command:
        stack.register()
    stack.run()
