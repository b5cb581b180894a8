// Seals standard input with npm's web-push: seal.mjs P256DH AUTH
import { readFileSync } from 'node:fs';
import webpush from 'web-push';

const [p256dh, auth] = process.argv.slice(2);
const { cipherText } = webpush.encrypt(p256dh, auth, readFileSync(0, 'utf8'), 'aes128gcm');
console.log(cipherText.toString('base64url'));
