"""Seals standard input with other people's libraries: http-ece for web push, cryptography for a key that a server handed over.

seal.py web-push P256DH AUTH | seal.py shared KEY-ID KEY
"""

import base64
import os
import sys

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main():
    how, first, second = sys.argv[1:]
    content = sys.stdin.buffer.read()
    if how == "web-push":
        key = ec.generate_private_key(ec.SECP256R1())
        sealed = http_ece.encrypt(
            content, private_key=key, dh=decode(first), auth_secret=decode(second), version="aes128gcm"
        )
        print(encode(sealed))
    else:
        nonce, head = os.urandom(12), f"k1.{first}"
        print(f"{head}.{encode(nonce)}.{encode(AESGCM(decode(second)).encrypt(nonce, content, head.encode()))}")


main()
